"""The real command as a process, a real master process, and a worker that tests drive."""

from __future__ import annotations

import fcntl
import os
import pty
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import (
    Claim,
    Heartbeat,
    Machine,
    Media,
    Outcome,
    Progress,
    Reason,
    Report,
    Role,
    State,
    Usage,
)
from tests.api.conftest import PATIENCE_SECONDS, environment, make_home, start, until

NewJob = Callable[..., str]
#: The flags of a job.
JOB = ("--scenario", "preview", "--duration", "5")
COMMAND = (sys.executable, "-m", "ffmpeg_jobs.cli.main")
MACHINE = Machine(
    cpus=4, memory_mb=8192, disk_free_mb=20480, max_concurrent_jobs=4, enforced=("cpu", "memory")
)
USAGE = Usage(cpu_seconds=1.5, throttled_seconds=0.25, memory_peak_bytes=64 << 20)
MEDIA = Media(size_bytes=3 << 20, duration_seconds=5.0, format="mp4", video="h264 640x360 24 fps")
COMPLETED = Outcome(State.COMPLETED, usage=USAGE, media=MEDIA, exit_status=0)


def failed(reason: Reason, error: str = "it went wrong", *tail: str) -> Outcome:
    return Outcome(State.FAILED, reason, error, tail, exit_status=1, usage=USAGE)


@dataclass(frozen=True)
class Cli:
    """``ffmpeg-jobs`` with a home directory of its own."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        return environment(HOME=str(self.home), LANG="C.UTF-8", **{**self.environ, **more})

    def run(
        self, *arguments: str, stdin: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            env=self.environment(**more),
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
            timeout=PATIENCE_SECONDS,
        )

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            env=self.environment(PYTHONUNBUFFERED="1", **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@dataclass(frozen=True)
class Terminal:
    """A command on a terminal of its own."""

    process: subprocess.Popen[bytes]
    screen: int  #: file descriptor of what a person would see

    def read_until(self, words: str) -> str:
        """All that was drawn up to ``words``; a command that ends before fails the test."""
        seen = ""
        while words not in seen:
            part = self._read()
            assert part, f"{words!r} was never drawn: {seen!r}"
            seen += part
        return seen

    def read_to_end(self) -> str:
        """All that was drawn until the command ended."""
        seen = ""
        while part := self._read():
            seen += part
        self.process.wait(PATIENCE_SECONDS)
        os.close(self.screen)
        return seen

    def _read(self) -> str:
        try:
            return os.read(self.screen, 65536).decode("utf-8", "replace")
        except OSError:  # EIO: nobody writes any more (pty(7))
            return ""


def on_terminal(cli: Cli, *arguments: str, columns: int = 100, **more: str) -> Terminal:
    screen, line = pty.openpty()
    fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        env=cli.environment(TERM="xterm", **more),
        stdin=line,
        stdout=line,
        stderr=line,
        start_new_session=True,
    )
    os.close(line)
    return Terminal(process, screen)


@dataclass(frozen=True)
class Worker:
    """Acts as a worker does: registers, claims, reports."""

    client: MasterClient
    name: str = "sim-1"
    held: dict[str, Claim] = field(default_factory=dict)

    def take(self, job_id: str) -> Claim:
        """Claim this job; what other tests left is ended."""
        while True:
            claim = self.client.claim(self.name, 10)
            assert claim is not None, "there was nothing to claim"
            if claim.job_id == job_id:
                self.held[job_id] = claim
                return claim
            self.end(claim, failed(Reason.INPUT_ERROR))

    def progress(self, claim: Claim, percent: float) -> None:
        progress = Progress(percent, round(percent), 24.0, 1.5, percent / 20, 1024, 12.0)
        report = Report(claim.job_id, claim.attempt, claim.token, progress, USAGE)
        self.client.heartbeat(self.name, Heartbeat((report,), 20480))

    def end(self, claim: Claim, outcome: Outcome) -> None:
        self.client.finish(claim.job_id, claim.attempt, claim.token, outcome)
        self.held.pop(claim.job_id, None)

    def end_all(self) -> None:
        """Leave room for the next test."""
        for claim in list(self.held.values()):
            self.end(claim, failed(Reason.INPUT_ERROR))


@dataclass(frozen=True)
class Farm:
    """A master that listens for itself, and may be restarted; its keys are files."""

    directory: Path
    port: int
    secrets: dict[Role, str]
    masters: list[subprocess.Popen[bytes]]
    session: requests.Session

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def key_file(self, role: Role) -> str:
        return str(self.directory / f"{role.value}.key")

    def start(self) -> None:
        (self.directory / "log").write_text("")
        master = start(self.directory, None)
        self.masters.append(master)
        log = self.directory / "log"
        until(lambda: "event=ready" in log.read_text() or master.poll() is not None)
        assert master.poll() is None, log.read_text()

    def stop(self) -> None:
        self.masters[-1].kill()
        self.masters[-1].wait(PATIENCE_SECONDS)
        # Its serving process outlives it for a moment: who kept a connection may be cut off there.
        self.session.close()

    def client(self, role: Role = Role.ADMIN) -> MasterClient:
        return MasterClient(Endpoint(self.url, self.secrets[role]), self.session)

    def worker(self) -> Worker:
        client = self.client(Role.WORKER)
        client.register("sim-1", MACHINE)
        return Worker(client)

    def cli(self, home: Path, role: Role = Role.SUBMIT) -> Cli:
        found = {
            "FFMPEG_JOBS_MASTER": self.url,
            "FFMPEG_JOBS_KEY_FILE": self.key_file(role),
        }
        return Cli(home, found)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def open_farm(directory: Path) -> Iterator[Farm]:
    """A farm of its own."""
    port = _free_port()
    secrets = make_home(directory, f'bind = "127.0.0.1:{port}"\n')
    for role, secret in secrets.items():
        (directory / f"{role.value}.key").write_text(secret + "\n")
        (directory / f"{role.value}.key").chmod(0o600)
    with requests.Session() as session:
        farm = Farm(directory, port, secrets, [], session)
        farm.start()
        yield farm
        farm.stop()


@pytest.fixture(scope="session")
def shared_farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with open_farm(tmp_path_factory.mktemp("farm")) as farm:
        yield farm


@pytest.fixture
def farm(shared_farm: Farm) -> Iterator[Farm]:
    """The master; a test that stopped it gets it started again."""
    yield shared_farm
    if shared_farm.masters[-1].poll() is not None:
        shared_farm.start()


@pytest.fixture
def cli(farm: Farm, tmp_path: Path) -> Cli:
    return farm.cli(tmp_path)


@pytest.fixture
def new_job(farm: Farm) -> NewJob:
    """Submit a job without the command."""
    client = farm.client(Role.SUBMIT)
    return lambda **more: client.submit({"parameters": {"duration": 5}, **more}).id


@pytest.fixture
def worker(farm: Farm) -> Iterator[Worker]:
    worker = farm.worker()
    yield worker
    if farm.masters[-1].poll() is None:
        worker.end_all()
