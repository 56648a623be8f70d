"""How many jobs a second the queue takes and hands out, and how soon a job starts.

Jobs do nothing. Peers, on the same machine in the same run: Procrastinate on the same
PostgreSQL, which keeps jobs as safely as we do, and Celery on Redis, which does not. All take
turns, so that whatever else the machine does meets each. The peers come from PyPI into an
environment of their own, redis-server from Debian.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
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
PEER = "Procrastinate, PostgreSQL"
MASTER = "ffmpeg-master"
AIMS = (">= 2 x Procrastinate", "<= 5 ms to start")
WAITS = 40
#: For one step of one system.
PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class System:
    """A queue that is measured."""

    name: str
    python: Path  #: that has what it needs
    program: str  #: of bench/queues
    environ: Mapping[str, str]  #: where it finds its server
    batches: bool = True  #: whether it takes many jobs at once


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--jobs", type=int, default=600, help="of each system, in each step")
    options.add_argument("--rounds", type=int, default=3, help="all systems take turns in each")
    options.add_argument("--peers", type=Path, help="an environment that is kept for the next run")
    asked = options.parse_args()
    with ExitStack() as stack:
        systems = _systems(stack, asked.peers)
        found: dict[str, list[list[float]]] = {system.name: [] for system in systems}
        for number in range(asked.rounds):
            first = number % len(systems)  # no one is always the first
            for system in (*systems[first:], *systems[:first]):
                found[system.name].append(_measure(system, asked.jobs))
    _show(found)


def _systems(stack: ExitStack, peers: Path | None) -> list[System]:
    """Their servers run until the stack is closed."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    directory.chmod(0o755)
    python = _peers(peers or directory / "peers")
    postgres = stack.enter_context(postgresql(directory / "postgresql"))
    redis = stack.enter_context(_redis(directory))
    place = {"DATABASE": f"host={directory}/postgresql user=postgres dbname={postgres.create()}"}
    procrastinate = System(PEER, python, "procrastinate_", place)
    _run(procrastinate, "schema")
    systems = [procrastinate, System("Celery, Redis", python, "celery_", {"REDIS": redis}, False)]
    for database, url in (
        ("PostgreSQL", postgres.url(postgres.create())),
        ("SQLite", f"sqlite:///{directory}/master.db"),
    ):
        own = directory / database
        own.mkdir()
        running = stack.enter_context(master(own, url))
        environ = running.environ | OURS
        systems.append(System(f"{MASTER}, {database}", Path(sys.executable), "ours", environ))
    return systems


def _measure(system: System, count: int) -> list[float]:
    """Of one slot, of eight, and of eight with jobs that were submitted by the hundred: jobs a
    second submitted, done, and both together; and the milliseconds to a start."""
    found: list[float] = []
    for how, slots in (("submit", 1), ("submit", 8), ("submit_hundreds", 8)):
        if how == "submit_hundreds" and not system.batches:
            continue
        submitted = _run(system, how, count)
        done = _run(system, "work", count, slots)
        found += [submitted, done, 1 / (1 / submitted + 1 / done)]
    return [statistics.median(_run(system, "wait", WAITS)), *found]


def _run(system: System, *words: object) -> Any:
    done = subprocess.run(
        [system.python, QUEUES / f"{system.program}.py", *map(str, words)],
        env=os.environ | dict(system.environ),
        stdout=subprocess.PIPE,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _show(found: Mapping[str, list[list[float]]]) -> None:
    rows, hundreds = [], []
    for name, rounds in found.items():
        times = [_times_peer(rounds, found[PEER], at) for at in (3, 6, 9) if at < len(rounds[0])]
        f = [statistics.median(figures) for figures in zip(*rounds, strict=True)]
        aims = AIMS if name.startswith(MASTER) else ("", "")
        one, eight = (f[2], f[3], times[0]), (f[5], f[6], times[1])
        rows.append((name, (f[1] + f[4]) / 2, *one, *eight, f[0], "; ".join(filter(None, aims))))
        if len(times) == 3:
            hundreds.append((name, *f[7:], times[2], aims[0]))
    said = f"medians of {len(found[PEER])} rounds; x {PEER}, in the same round"
    slots = ("done/s, 1 slot", "together", "x peer", "done/s, 8 slots", "together", "x peer")
    table.show(
        f"No-op jobs a second, and ms from submit to start on an idle system: {said}",
        ("", "submit/s", *slots, "ms to start", "aim"),
        rows,
    )
    table.show(
        f"Submitted a hundred at a time: {said}", ("", "submit/s", *slots[3:], "aim"), hundreds
    )


def _times_peer(rounds: Sequence[list[float]], peer: Sequence[list[float]], at: int) -> float:
    """The median of what one figure is to the peer's in the same round."""
    return statistics.median(mine[at] / its[at] for mine, its in zip(rounds, peer, strict=True))


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
