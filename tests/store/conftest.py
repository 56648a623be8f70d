"""A store of each test's own, and the clock that it goes by."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ffmpeg_jobs.model import Machine
from ffmpeg_master.store import schema, workers
from ffmpeg_master.store.engine import Store
from tests.conftest import ENGINES
from tests.postgres import Postgres


class Clock:
    """Unix time that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds

    def forward(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """All that the store does, it does on both."""
    return str(request.param)


@pytest.fixture
def empty(engine: str, url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database without tables."""
    if engine == "sqlite":
        yield url
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    opened = Store(url, clock)
    schema.migrate(opened)
    for name in ("ada", "bob"):
        workers.register(opened, name, Machine(4, 8192, 1000, max_concurrent_jobs=2))
    yield opened
    opened.close()
