"""What runs often goes by an index: the tables of a busy year are large."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from ffmpeg_jobs.model import Heartbeat, Job
from ffmpeg_master.model import Filters, Needs
from ffmpeg_master.store import intake, jobs, queue, workers
from ffmpeg_master.store.engine import Store


@pytest.fixture
def scans(store: Store) -> list[str]:
    """Whole tables that SQLite read for the statements that ran."""
    found: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            steps = [row[3] for row in plan]
            whole = {"SCAN jobs", "SCAN attempts", "USE TEMP B-TREE FOR ORDER BY"}
            found.extend(f"{step}: {statement}" for step in steps if step in whole)

    event.listen(store._engine, "before_cursor_execute", explain)
    return found


def test_no_statement_reads_all_jobs(store: Store, scans: list[str]) -> None:
    status, _ = intake.submit(store, intake.Submission(Job(), Needs(), 4, "d", "key"))
    assert [job.job_id for job in jobs.waiting(store)] == [status.id]
    held = queue.claim(store, status.id, "ada", most=1, lease_seconds=60)
    assert held is not None
    queue.heartbeat(store, "ada", Heartbeat(), 60)
    workers.fleet(store, 60)
    workers.show_all(store, 60)
    queue.expire(store, 60, 5)
    queue.renew(store, 60)
    jobs.counts(store)
    jobs.due(store, 0, 1)
    jobs.page(store, Filters(state="failed"), 10)
    queue.cancel(store, status.id)
    queue.forget(store, 1, 100)
    assert scans == []
