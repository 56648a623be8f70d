"""A database that grew before anybody looked at it, so that nobody told its planner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from ffmpeg_jobs.model import Claim, Heartbeat, Job, Machine, Outcome, Report, Result, State
from ffmpeg_master import choosing, scheduling
from ffmpeg_master.config import Config, read
from ffmpeg_master.model import Room
from ffmpeg_master.store import claims, intake, jobs, queue, workers
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.statistics import FARM

MOST = 8
FEW, MANY = 40, 2000
#: In its own transaction: what the table and its indexes were read for.
READ = text(
    """
    SELECT pg_stat_get_xact_tuples_returned('jobs'::regclass)
        + pg_stat_get_xact_tuples_fetched('jobs'::regclass)
        + sum(pg_stat_get_xact_tuples_returned(indexrelid))
    FROM pg_index WHERE indrelid = 'jobs'::regclass
    """
)


@contextmanager
def effort(store: Store) -> Iterator[Callable[[], int]]:
    """A transaction, and what it cost: of PostgreSQL rows read, of SQLite steps of its machine."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    with store.write() as connection:
        driver = connection.connection.dbapi_connection
        if store.shared:
            before = int(connection.execute(READ).scalar_one())
            yield lambda: int(connection.execute(READ).scalar_one()) - before
        else:
            driver.set_progress_handler(step, 10)
            yield lambda: steps
            driver.set_progress_handler(None, 0)


def submit(store: Store, count: int) -> None:
    job = Job()
    needs, rank = scheduling.needs(job), scheduling.rank(job)
    line = scheduling.line(rank, "press", needs)
    one = intake.Submission(job, needs, rank, "digest", submitter="press", line=line, place=0)
    intake.submit_batch(store, [one] * count)


def dialogue(store: Store, config: Config, told: tuple[Claim, ...]) -> tuple[list[int], Any]:
    """What a worker's heartbeat costs, and its next claim, which brings results."""
    costs = []
    running = tuple(Report(one.job_id, one.attempt, one.token) for one in told)
    with effort(store) as cost:
        queue.heartbeat(store, "eve", Heartbeat(running, 1 << 20), 60)
        queue.expire(store, 60)
        queue.overdue(store)
        costs.append(cost())
    done = Outcome(State.COMPLETED)
    results = tuple(Result(one.job_id, one.attempt, one.token, done) for one in told)
    asked = claims.Asked("eve", 60, 5, MOST, Room(1), results)
    with effort(store) as cost:
        given = claims.claim(store, asked, choosing.choices(store, config, "eve", MOST))
        jobs.show(store, given.claims[0].job_id)
        costs.append(cost())
    assert (len(given.claims), len(given.ended)) == (MOST, len(told))
    return costs, given.claims


@pytest.fixture
def config() -> Config:
    return read(None, {}, {})


def test_what_is_asked_most_costs_the_same_however_many_wait(store: Store, config: Config) -> None:
    workers.register(store, "eve", Machine(64, 1 << 20, 1 << 20, max_concurrent_jobs=MOST))
    submit(store, FEW)
    _, held = dialogue(store, config, ())
    few, held = dialogue(store, config, held)
    submit(store, MANY)
    many, _ = dialogue(store, config, held)
    assert all(now < 2 * before + 100 for before, now in zip(few, many, strict=True)), (few, many)


def test_sqlite_is_told_of_every_index_that_a_large_table_has(store: Store) -> None:
    if store.shared:
        pytest.skip("PostgreSQL gathers its own statistics")
    with store.read() as connection:
        for table, told in FARM.items():
            found = connection.execute(text(f"PRAGMA index_list({table})")).all()
            columns = {
                row.name: len(connection.execute(text(f"PRAGMA index_info({row.name})")).all())
                for row in found
            }
            assert columns == {name: len(figures.split()) - 1 for name, figures in told.items()}
            stored = connection.execute(
                text("SELECT idx, stat FROM sqlite_stat1 WHERE tbl = :of"), {"of": table}
            )
            assert {row.idx: row.stat for row in stored} == told
