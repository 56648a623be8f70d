"""The API twice: the application in this process (fast), and a real master process.

Both are spoken to by the real client; in this process through a requests transport that
calls the application, with a clock that a test moves.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import structlog

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import Machine, Role
from ffmpeg_master import auth, config
from ffmpeg_master.housekeeping import Housekeeping
from ffmpeg_master.master import Master, open_master
from ffmpeg_master.model import Grant
from ffmpeg_master.store import keys

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # falcon 3.1 imports cgi
    from ffmpeg_master.app import make_app

ROOT = Path(__file__).parents[2]
MACHINE = Machine(cpus=4, memory_mb=8192, disk_free_mb=1000, max_concurrent_jobs=4)
JOB = {"parameters": {"duration": 5}, "labels": {"title": "42"}}
INSIDE = "http://master.invalid"
#: Long enough for any machine; reached only by what is broken.
PATIENCE_SECONDS = 30.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The transport's own use of what Python 3.12 deprecated is not our concern."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow"))


def until(done: Callable[[], Any]) -> Any:
    """The first true result of ``done``; fails after PATIENCE_SECONDS."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (result := done()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return result


class Clock:
    """Unix time that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds

    def forward(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass(frozen=True)
class Inside:
    """The application in this process."""

    master: Master
    clock: Clock
    housekeeping: Housekeeping
    secrets: dict[Role, str]
    log: list[Any]

    def session(self) -> requests.Session:
        wsgiadapter = pytest.importorskip("wsgiadapter", reason="needs requests-wsgi-adapter")
        session = requests.Session()
        session.mount(INSIDE, wsgiadapter.WSGIAdapter(make_app(self.master)))
        session.headers["Accept-Encoding"] = "identity"  # the transport decompresses nothing
        return session

    def client(self, role: Role = Role.ADMIN) -> MasterClient:
        return MasterClient(Endpoint(INSIDE, self.secrets[role]), self.session())

    def call(
        self, method: str, path: str, role: Role | None = Role.ADMIN, **more: Any
    ) -> requests.Response:
        headers = dict(more.pop("headers", {}))
        if role is not None:
            headers["Authorization"] = f"Bearer {self.secrets[role]}"
        return self.session().request(method, INSIDE + path, headers=headers, **more)


def add_key(master: Master, name: str, role: Role, **more: Any) -> str:
    secret = auth.new_secret()
    keys.create(master.store, name, Grant(role, **more), auth.digest(secret))
    return secret


@pytest.fixture
def inside(url: str) -> Iterator[Inside]:
    settings = config.read(None, {"database": url}, {})
    clock = Clock()
    master = open_master(settings, clock)
    secrets = {role: add_key(master, role.value, role) for role in Role}
    with structlog.testing.capture_logs() as log:
        yield Inside(master, clock, Housekeeping(master), secrets, log)
    master.wakeup.close()
    master.store.close()


@dataclass(frozen=True)
class Outside:
    """A real master process, given its socket as systemd does (sd_listen_fds(3))."""

    process: subprocess.Popen[bytes]
    listener: socket.socket
    directory: Path
    secrets: dict[Role, str]
    sessions: ExitStack  #: closes what the clients opened

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def client(self, role: Role = Role.ADMIN) -> MasterClient:
        return self.client_with(self.secrets[role])

    def client_with(self, secret: str) -> MasterClient:
        client = MasterClient(Endpoint(self.url, secret))
        self.sessions.callback(client.close)
        return client

    def kill(self) -> None:
        """End it and its processes at once, as systemd ends a unit."""
        processes = [self.process.pid, *children(self.process.pid)]
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)
        until(lambda: not any(map(_has_port, processes)))

    def ready(self) -> Outside:
        until(lambda: "event=ready" in self.log or self.process.poll() is not None)
        assert self.process.poll() is None, self.log
        return self


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def _has_port(pid: int) -> bool:
    """Whether the process is not over yet: what it listens on is closed a little after a kill."""
    try:
        return any(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it is gone, or nothing is left of it but its exit status
        return False


def environment(**more: str) -> dict[str, str]:
    path = f"{ROOT}/jobs:{ROOT}/master"
    return {"PATH": os.environ["PATH"], "PYTHONPATH": path, **more}


def command(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``ffmpeg-master`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "ffmpeg_master", "--config", directory / "master.toml", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def start(directory: Path, listener: socket.socket | None, **more: str) -> subprocess.Popen[bytes]:
    """A master that finds ``listener`` as its file descriptor 3, or opens its own socket."""
    master = [sys.executable, "-m", "ffmpeg_master", "--config", str(directory / "master.toml")]
    if listener is not None:
        # The shell knows its own pid before it becomes the master.
        script = 'exec 3<&"$0" env LISTEN_FDS=1 LISTEN_PID=$$ "$@"'
        master = ["/bin/bash", "-c", script, str(listener.fileno()), *master]
    with (directory / "log").open("ab") as log:
        return subprocess.Popen(
            master,
            env=environment(**more),
            stderr=log,
            pass_fds=[] if listener is None else [listener.fileno()],
        )


def make_home(directory: Path, text: str = "") -> dict[Role, str]:
    """A configuration and one key of each role."""
    (directory / "master.toml").write_text(
        f'database = "sqlite:///{directory}/master.db"\n{text}', encoding="utf-8"
    )
    made = {
        role: command(directory, "keys", "create", "--name", role.value, "--role", role.value)
        for role in Role
    }
    assert all(run.returncode == 0 for run in made.values()), made
    return {role: run.stdout.strip() for role, run in made.items()}


Launch = Callable[..., Outside]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Role, str]]:
    """Made once: each key costs the start of a process."""
    directory = tmp_path_factory.mktemp("home")
    return directory, make_home(directory)


@pytest.fixture
def launch(home: tuple[Path, dict[Role, str]]) -> Iterator[Launch]:
    """Start masters, one after the other, on one home and socket."""
    directory, secrets = home
    listener = socket.create_server(("127.0.0.1", 0))
    started: list[subprocess.Popen[bytes]] = []
    sessions = ExitStack()
    (directory / "log").write_text("")

    def launch_one(
        text: str = "", *, listener: socket.socket = listener, **environ: str
    ) -> Outside:
        database = f'database = "sqlite:///{directory}/master.db"\n'
        (directory / "master.toml").write_text(database + text, encoding="utf-8")
        (directory / "log").write_text("")
        process = start(directory, listener, **environ)
        started.append(process)
        return Outside(process, listener, directory, secrets, sessions)

    yield launch_one
    for process in started:
        process.kill()
        process.wait(PATIENCE_SECONDS)
    sessions.close()
    listener.close()


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run ``work`` aside; its result is appended when it has one."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    return thread, results
