"""A master of this tree on this machine, and what its processes cost."""

import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ffmpeg_master.server import ask_health

ROOT = Path(__file__).parents[1]
OURS = {"PYTHONPATH": f"{ROOT}/jobs:{ROOT}/worker:{ROOT}/master"}
TICKS = os.sysconf("SC_CLK_TCK")
#: As its unit gives it, where this machine allows.
FILES = 65536


@dataclass(frozen=True)
class Running:
    """A master that serves."""

    url: str
    key: str  #: of an admin
    group: int  #: the id of its process group

    @property
    def environ(self) -> dict[str, str]:
        """What a program needs to find it."""
        return {"MASTER": self.url, "KEY": self.key}

    def cpu_seconds(self) -> float:
        """User and system time of its processes so far."""
        fields = [(place / "stat").read_text().rpartition(")")[2].split() for place in self._all()]
        return sum(int(of[11]) + int(of[12]) for of in fields) / TICKS

    def memory_mib(self) -> float:
        """Their PSS: pages that they share are counted once."""
        rollups = [(place / "smaps_rollup").read_text().splitlines() for place in self._all()]
        rows = (row for rollup in rollups for row in rollup if row.startswith("Pss:"))
        return sum(int(row.split()[1]) for row in rows) / 1024

    def cpu_percent(self, seconds: float) -> float:
        """Of one core, over that time."""
        before, begun = self.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return (self.cpu_seconds() - before) / (time.monotonic() - begun) * 100

    def _all(self) -> list[Path]:
        places = Path("/proc").glob("[0-9]*")
        return [place for place in places if _group(place) == self.group]


def _group(place: Path) -> int | None:
    try:
        return int((place / "stat").read_text().rpartition(")")[2].split()[2])
    except OSError:  # it ended meanwhile
        return None


@contextmanager
def master(directory: Path, url: str) -> Iterator[Running]:
    """A master with the database at ``url``, and its configuration in ``directory``."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = directory / "master.toml"
    # The peers are measured without a line for each job, too.
    config.write_text(f'bind = "127.0.0.1:{port}"\ndatabase = "{url}"\nlog_level = "warning"\n')
    command: list[str | Path] = [sys.executable, "-m", "ffmpeg_master", "--config", config]
    environ = os.environ | OURS
    # A database that served before has the last one's.
    make_key = [*command, "keys", "create", "--name", f"bench-{port}", "--role", "admin"]
    key = subprocess.run(
        make_key, env=environ, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    _allow_files()
    process = subprocess.Popen(command, env=environ, process_group=0)
    try:
        while ask_health(("127.0.0.1", port), socket.AF_INET, encrypted=False) != 200:
            assert process.poll() is None
            time.sleep(0.1)
        yield Running(f"http://127.0.0.1:{port}", key, process.pid)
    finally:
        process.terminate()
        process.wait()


def _allow_files() -> None:
    """To this process; what it starts inherits it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
