"""What runs often goes by an index: the tables of a busy year are large."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import event

from ffmpeg_jobs.model import Heartbeat, Job, Outcome, State
from ffmpeg_master.model import Filters, Needs
from ffmpeg_master.store import (
    attendance,
    changes,
    dependencies,
    intake,
    jobs,
    queue,
    waiting,
    workers,
)
from ffmpeg_master.store.engine import Store
from tests import handing

#: How to ask for a statement's plan, and the steps that read or sort all of a large table.
#: PostgreSQL would read small tables whole, so that is made to look expensive.
EXPLAIN = {"sqlite": ("EXPLAIN QUERY PLAN", 3), "postgresql": ("EXPLAIN (COSTS off)", 0)}
WHOLE = re.compile(
    "SCAN (jobs|attempts|dependencies)$|USE TEMP B-TREE FOR ORDER BY|"
    "Seq Scan on (jobs|attempts|dependencies)|Sort Key"
)


@pytest.fixture
def scans(store: Store) -> list[str]:
    """Whole tables that the database reads for the statements that ran."""
    found: list[str] = []
    words, column = EXPLAIN[store.url.get_backend_name()]

    def explain(connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            asking = cursor.connection.cursor()
            if column == 0:
                asking.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
            asking.execute(f"{words} {statement}", values)
            steps = [row[column] for row in asking.fetchall()]
            found.extend(f"{step}: {statement}" for step in steps if WHOLE.search(step))

    event.listen(store._engine, "before_cursor_execute", explain)
    return found


def test_no_statement_reads_all_jobs(store: Store, scans: list[str]) -> None:
    status, _ = intake.submit(store, intake.Submission(Job(), Needs(), 4, "d", "key"))
    assert [job.job_id for job in handing.waiting(store)] == [status.id]
    held = handing.claim(store, status.id, "ada", most=1, lease_seconds=60)
    assert held is not None
    queue.heartbeat(store, "ada", Heartbeat(), 60)
    workers.fleet(store, 60)
    workers.show_all(store, 60)
    workers.member(store, "ada", 60)
    workers.held(store)
    queue.expire(store, 60, 5)
    queue.overdue(store)
    attendance.attend(store, 0, 60)
    jobs.counts(store)
    waiting.due(store, 0, 1)
    changes.since(store, 0)
    changes.since(store, 0, tenant="default")
    jobs.page(store, Filters(state="failed"), 10)
    jobs.page(store, Filters(since=1.0, until=2.0), 10)
    jobs.page(store, Filters(group="night"), 10)
    jobs.count(store, Filters())
    jobs.count(store, Filters(tenant="default", queue="live"))
    jobs.count(store, Filters(group="night"))
    after = Job(depends_on=(status.id,))
    intake.submit(store, intake.Submission(after, Needs(), 4, "d"))
    queue.cancel(store, status.id)
    handing.finish(
        store, status.id, 1, token=held.token, outcome=Outcome(State.COMPLETED), retry_seconds=5
    )
    assert dependencies.settle(store).ready == 1
    queue.forget(store, 1, 100)
    assert scans == []
