"""What masters tell each other arrives, whatever happens to the line."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ffmpeg_master.relay import Relay
from ffmpeg_master.store.engine import Store
from tests.api.conftest import PATIENCE_SECONDS, until
from tests.masters.test_together import listeners
from tests.postgres import Postgres


class Side:
    """One master's ear and mouth, and what it heard."""

    def __init__(self, store: Store) -> None:
        self.relay = Relay(store)
        self.heard: list[tuple[str, int]] = []
        self.connected: list[None] = []
        self.stalled, self.go_on = threading.Event(), threading.Event()
        hears = {"news": self._hear, "stall": self._stall}
        self.relay.start(hears, lambda: self.connected.append(None))

    def _hear(self, about: str, times: int) -> None:
        self.heard.append((about, times))

    def _stall(self, _about: str, _times: int) -> None:
        self.stalled.set()
        self.go_on.wait(PATIENCE_SECONDS)


@pytest.fixture
def sides(url: str, postgres: Postgres) -> Iterator[list[Side]]:
    store = Store(url)
    found = [Side(store) for _ in range(2)]
    until(lambda: len(listeners(postgres)) >= 2)
    yield found
    for side in found:
        side.relay.stop()
    store.close()


def test_what_could_not_be_told_is_told_again(sides: list[Side], postgres: Postgres) -> None:
    one, other = sides
    other.relay.tell("stall")
    until(one.stalled.is_set)
    for pid in listeners(postgres):
        postgres.sql(f"SELECT pg_terminate_backend({pid})", "postgres")
    until(lambda: len(other.connected) == 2)
    # It does not know yet that its line is gone.
    one.relay.tell("news", "ada", 3)
    one.go_on.set()
    until(lambda: other.heard)
    assert other.heard == [("ada", 3)]


def test_a_notice_that_says_nothing_does_no_harm(
    sides: list[Side], postgres: Postgres, url: str
) -> None:
    name = url.partition("@/")[2].partition("?")[0]
    for nonsense in ("nonsense", "news a b c", "news ada many", "news ada -1"):
        postgres.sql(f"NOTIFY ffmpeg_master, '{nonsense}'", name)
    one, other = sides
    one.relay.tell("news", "ada", 3)
    until(lambda: other.heard)
    assert other.heard == [("ada", 3)]
