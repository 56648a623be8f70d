"""Several masters on one PostgreSQL: real processes, each with its own directory and port."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
    store: Store  #: to look into the database; nobody writes with it
    secret: str  #: an admin's key
    launch: Callable[[int], Outside]  #: starts master number n (again)
    sessions: ExitStack

    @property
    def url(self) -> str:
        return ",".join(master.url for master in self.masters)

    def client(self, url: str = "") -> MasterClient:
        client = MasterClient(Endpoint(url or self.url, self.secret))
        self.sessions.callback(client.close)
        return client


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
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]

        def launch(number: int) -> Outside:
            directory = tmp_path / f"master{number}"
            directory.mkdir(exist_ok=True)
            (directory / "master.toml").write_text(f'database = "{url}"\n{settings}')
            (directory / "log").write_text("")
            more = environment if number else {}
            process = start(directory, listeners[number], **more)
            stack.callback(process.wait, PATIENCE_SECONDS)
            stack.callback(process.kill)
            return Outside(process, listeners[number], directory, {}, sessions)

        yield Farm([launch(0), launch(1)], store, secret, launch, sessions)
