"""Several masters on one PostgreSQL: real processes, each with its own directory and port."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import Role
from ffmpeg_master import auth
from ffmpeg_master.model import Grant
from ffmpeg_master.store import keys
from ffmpeg_master.store.engine import Store
from tests.api.conftest import PATIENCE_SECONDS, Outside, start


@dataclass(frozen=True)
class Farm:
    """Masters that share a database, and what speaks to them."""

    masters: list[Outside]
    urls: tuple[str, ...]
    store: Store  #: to look into the database
    secret: str  #: an admin's key
    launch: Callable[[int], Outside]  #: starts master number n (again)
    sessions: ExitStack

    def client(self, url: str = "") -> MasterClient:
        client = MasterClient(Endpoint(url or ",".join(self.urls), self.secret))
        self.sessions.callback(client.close)
        return client

    def lose(self, number: int) -> None:
        """Take a master away with its machine: nobody listens there any more."""
        master = self.masters[number]
        master.kill()
        master.listener.close()


@pytest.fixture
def engine() -> str:
    """What several masters need."""
    return "postgresql"


@pytest.fixture
def settings() -> str:
    """More lines of master.toml."""
    return ""


@pytest.fixture
def environment() -> dict[str, str]:
    """More environment of the second master."""
    return {}


@pytest.fixture
def farm(url: str, tmp_path: Path, settings: str, environment: dict[str, str]) -> Iterator[Farm]:
    store, secret = Store(url), auth.new_secret()
    keys.create(store, "test", Grant(Role.ADMIN), auth.digest(secret))
    with ExitStack() as stack:
        stack.callback(store.close)
        sessions = stack.enter_context(ExitStack())
        ports: dict[int, int] = {}

        def launch(number: int) -> Outside:
            listener = _listen(ports[number]) if number in ports else _listen_anywhere()
            stack.callback(listener.close)
            ports[number] = listener.getsockname()[1]
            directory = tmp_path / f"master{number}"
            directory.mkdir(exist_ok=True)
            (directory / "master.toml").write_text(f'database = "{url}"\n{settings}')
            (directory / "log").write_text("")
            process = start(directory, listener, **(environment if number else {}))
            stack.callback(process.wait, PATIENCE_SECONDS)
            stack.callback(process.kill)
            return Outside(process, listener, directory, {}, sessions)

        masters = [launch(0), launch(1)]
        urls = tuple(master.url for master in masters)
        yield Farm(masters, urls, store, secret, launch, sessions)


def _listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def _listen_anywhere() -> socket.socket:
    """On a port that nobody gets by chance, while its master is away (ip_local_port_range)."""
    for port in random.sample(range(20000, 32000), 100):
        with suppress(OSError):
            return _listen(port)
    raise AssertionError("no port is free")
