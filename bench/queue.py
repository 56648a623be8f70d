"""How many jobs a second the queue takes and hands out, and how soon a job starts.

Jobs do nothing. Peers, on the same machine in the same run: Procrastinate on the same
PostgreSQL, which keeps jobs as safely as we do, and Celery on Redis, which does not. The peers
come from PyPI into an environment of their own, redis-server from Debian.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.postgres import Postgres

from bench import table
from bench.master import OURS, master

ROOT = Path(__file__).parents[1]
QUEUES = ROOT / "bench" / "queues"
PEERS = (
    "procrastinate==3.2.2",
    "psycopg[binary,pool]==3.2.9",
    "celery==5.4.0",
    "redis==6.4.0",
    "packaging",
)
WAITS = 40


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--jobs", type=int, default=1000)
    options.add_argument("--peers", type=Path, help="an environment that is kept for the next run")
    asked = options.parse_args()
    count = asked.jobs
    rows = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)
        python = _peers(asked.peers or directory / "peers")
        postgres = stack.enter_context(postgresql(directory / "postgresql"))
        redis = stack.enter_context(_redis(directory))
        peer = {"DATABASE": f"host={directory}/postgresql user=postgres dbname={postgres.create()}"}
        _run(python, "procrastinate_", peer, "schema")
        rows["Procrastinate, PostgreSQL"] = _measure(python, "procrastinate_", peer, count)
        rows["Celery, Redis"] = _measure(python, "celery_", {"REDIS": redis}, count)
        for name, url in (
            ("ffmpeg-master, PostgreSQL", postgres.url(postgres.create())),
            ("ffmpeg-master, SQLite", f"sqlite:///{directory}/master.db"),
        ):
            with master(directory, url) as found:
                rows[name] = _measure(Path(sys.executable), "ours", found.environ | OURS, count)
    _show(rows)


def _measure(python: Path, name: str, environ: Mapping[str, str], count: int) -> list[float]:
    found: list[float] = []
    for slots in (1, 8):
        submitted = _run(python, name, environ, "submit", count)
        done = _run(python, name, environ, "work", count, slots)
        found += [submitted, done, 1 / (1 / submitted + 1 / done)]
    return [*found, statistics.median(_run(python, name, environ, "wait", WAITS))]


def _run(python: Path, name: str, environ: Mapping[str, str], *words: object) -> Any:
    done = subprocess.run(
        [python, QUEUES / f"{name}.py", *map(str, words)],
        env=os.environ | dict(environ),
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _show(rows: Mapping[str, list[float]]) -> None:
    head = ("", "submit/s", "done/s, 1 slot", "together", "done/s, 8 slots", "together")
    peer = next(iter(rows.values()))
    table.show(
        "No-op jobs: how many a second, and the median from submit to start on an idle system",
        (*head, "x peer", "ms to start"),
        [
            (name, (f[0] + f[3]) / 2, f[1], f[2], f[4], f[5], f[5] / peer[5], f[6])
            for name, f in rows.items()
        ],
    )


def _peers(directory: Path) -> Path:
    python = directory / "bin" / "python"
    if python.exists():
        return python
    venv.create(directory, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)
    return python


@contextmanager
def postgresql(directory: Path) -> Iterator[Postgres]:
    directory.mkdir()
    server = Postgres(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _redis(directory: Path) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        sys.exit("bench.queue: redis-server is not installed; apt-get install redis-server")
    place = directory / "redis.sock"
    # Its own way to write each change to the disk, once a second.
    command: list[str | Path] = [
        program,
        "--port",
        "0",
        "--unixsocket",
        place,
        "--appendonly",
        "yes",
    ]
    process = subprocess.Popen([*command, "--dir", directory], stdout=subprocess.DEVNULL)
    try:
        while not place.exists():
            assert process.poll() is None
        yield f"redis+socket://{place}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
