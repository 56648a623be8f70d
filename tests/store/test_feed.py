"""All who watch are told of all that changes, whatever clocks, transactions and databases do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, update

from ffmpeg_jobs.model import Job
from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.feed import Feed, Watcher
from ffmpeg_master.model import Change, Needs
from ffmpeg_master.store import intake
from ffmpeg_master.store.engine import TRANSACTION_SECONDS, Store
from ffmpeg_master.store.tables import jobs
from tests.store.conftest import Clock

PATIENCE_SECONDS = 30.0
#: Longer than a reader waits to look for what was late.
LATER_SECONDS = 6.0


@pytest.fixture
def feed(store: Store) -> Iterator[Feed]:
    opened = Feed(store)
    yield opened
    opened.close()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while opened._reading is not None and time.monotonic() < deadline:
        time.sleep(0.01)  # the store closes after it


def wants(_change: Change) -> bool:
    return True


def submit(store: Store) -> str:
    return intake.submit(store, intake.Submission(Job(), Needs(), 4, "digest"))[0].id


def change(store: Store, job_id: str, **values: Any) -> None:
    with store.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))


def told(watcher: Watcher) -> list[str]:
    return [change.status.id for change in watcher.take(PATIENCE_SECONDS)]


@contextmanager
def lost(store: Store) -> Iterator[None]:
    """No transaction finds the jobs."""
    with store.write() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs RENAME TO lost")
    yield
    with store.write() as connection:
        connection.exec_driver_sql("ALTER TABLE lost RENAME TO jobs")


def test_who_is_refused_as_the_database_is_away_is_in_nobodys_way(store: Store, feed: Feed) -> None:
    with lost(store), pytest.raises(Unavailable), feed.watcher(wants, "ann"):
        pass
    assert len(feed) == 0
    with feed.watcher(wants, "ann") as watcher:
        job_id = submit(store)
        assert told(watcher) == [job_id]


def test_what_changed_while_the_database_was_away_is_told(store: Store, feed: Feed) -> None:
    with feed.watcher(wants, "ann") as watcher:
        with lost(store):
            feed.nudge()
            assert watcher.take(0.2) == []
        job_id = submit(store)
        assert told(watcher) == [job_id]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_reader_that_fell_lets_who_watches_come_again(store: Store, feed: Feed) -> None:
    with feed.watcher(wants, "ann") as watcher:
        job_id = submit(store)
        assert told(watcher) == [job_id]
        change(store, job_id, state="bananas", updated_at=store.now() - 1)
        assert told(watcher) == []
        assert watcher.over
    change(store, job_id, state="queued")
    with feed.watcher(wants, "ann") as watcher:
        other = submit(store)
        assert told(watcher) == [other]


def test_who_comes_while_it_is_read_misses_nothing(store: Store, feed: Feed) -> None:
    reads, goes_on = threading.Event(), threading.Event()

    def stop(*_: object) -> None:
        if threading.current_thread() is not threading.main_thread() and not goes_on.is_set():
            reads.set()
            goes_on.wait(PATIENCE_SECONDS)

    with feed.watcher(wants, "ann"):
        event.listen(store._engine, "before_cursor_execute", stop)
        assert reads.wait(PATIENCE_SECONDS)
        with feed.watcher(wants, "bob") as late:
            job_id = submit(store)
            goes_on.set()
            assert told(late) == [job_id]


def test_what_is_committed_late_is_told_once(store: Store, feed: Feed, clock: Clock) -> None:
    first, late = submit(store), submit(store)
    with feed.watcher(wants, "ann") as watcher:
        change(store, first, updated_at=clock() - 1)
        assert told(watcher) == [first]
        change(store, late, updated_at=clock() - TRANSACTION_SECONDS + 1)
        clock.forward(LATER_SECONDS)
        assert told(watcher) == [late]
        for _ in range(3):
            clock.forward(LATER_SECONDS)
            feed.nudge()
            assert watcher.take(1.5) == []


def test_a_clock_that_is_set_back_silences_nobody(store: Store, feed: Feed, clock: Clock) -> None:
    before, after = submit(store), submit(store)
    clock.forward(3600)
    with feed.watcher(wants, "ann") as watcher:
        change(store, before, updated_at=clock())
        assert told(watcher) == [before]
        clock.forward(-1800)
        change(store, after, updated_at=clock() - 10)
        assert told(watcher) == [after]


def test_nobody_is_told_of_what_was_before(store: Store, feed: Feed, clock: Clock) -> None:
    submit(store)
    with feed.watcher(wants, "ann") as watcher:
        clock.forward(LATER_SECONDS)
        assert watcher.take(1.5) == []


def test_a_change_is_looked_for_as_long_as_its_transaction_may_take(store: Store) -> None:
    if store.shared:
        with store.read() as connection:
            asked = "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'"
            statement_seconds = connection.exec_driver_sql(asked).scalar() / 1000
        assert 2 * statement_seconds <= TRANSACTION_SECONDS
