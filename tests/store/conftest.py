"""A store of each test's own, and the clock that it goes by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Machine
from ffmpeg_master.store import schema, workers
from ffmpeg_master.store.engine import Store


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


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/master.db"


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    opened = Store(url, clock)
    schema.migrate(opened)
    for name in ("ada", "bob"):
        workers.register(opened, name, Machine(4, 8192, 1000, max_concurrent_jobs=2))
    yield opened
    opened.close()
