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
    lists,
    queue,
    tenants,
    waiting,
    workers,
)
from ffmpeg_master.store.engine import Store
from tests import handing

#: How to ask for a statement's plan, and the steps that read or sort all of a large table.
#: PostgreSQL would sort what is small, so that is made to look expensive; whole tables do already.
EXPLAIN = {"sqlite": ("EXPLAIN QUERY PLAN", 3), "postgresql": ("EXPLAIN (COSTS off)", 0)}
WHOLE = re.compile(
    "SCAN (jobs|attempts|dependencies|labels)$|USE TEMP B-TREE FOR ORDER BY|"
    "Seq Scan on (jobs|attempts|dependencies|labels)|Sort Key"
)
#: What else a list may be of: nearly all jobs are.
KIND: dict[str, Any] = {"tenant": "default", "state": "queued", "queue": "default"}


@pytest.fixture
def steps(store: Store) -> list[str]:
    """How the database went about the statements that ran."""
    found: list[str] = []
    words, column = EXPLAIN[store.url.get_backend_name()]

    def explain(
        connection: Any, cursor: Any, told: str, values: Any, context: Any, _many: bool
    ) -> None:
        # PostgreSQL is told by name to carry out what it knows.
        statement = told if context.compiled is None else context.statement
        if statement.startswith(("SELECT", "WITH", "UPDATE", "DELETE")):
            asking = cursor.connection.cursor()
            # In one message, which is a transaction: ours may begin with what is about to run.
            settings = "SET LOCAL enable_sort = off; "
            asking.execute(f"{settings if column == 0 else ''}{words} {statement}", values)
            rows = [row[column] for row in asking.fetchall()]
            # A few jobs that are asked for one by one may be put in order.
            few = rows and "(id=?)" in rows[0]
            found.extend(row for row in rows if not (few and row.endswith("FOR ORDER BY")))

    event.listen(store._engine, "before_cursor_execute", explain)
    return found


def test_no_statement_reads_all_jobs(store: Store, steps: list[str]) -> None:
    status, _ = intake.submit(store, intake.Submission(Job(), Needs(), 4, "d", "key"))
    assert [job.job_id for job in handing.waiting(store)] == [status.id]
    held = handing.claim(store, status.id, "ada", most=1, lease_seconds=60)
    assert held is not None
    queue.heartbeat(store, "ada", Heartbeat(), 60)
    workers.fleet(store, 60)
    workers.show_all(store, 60)
    workers.member(store, "ada", 60)
    workers.held(store)
    tenants.show_all(store)
    tenants.holds_back(store, "default", Needs())
    with store.read() as connection:
        tenants.held(connection, ["default"])
    queue.expire(store, 60)
    queue.overdue(store)
    attendance.attend(store, 0, 60)
    jobs.counts(store)
    waiting.due(store, 0, 1)
    changes.since(store, 0)
    changes.since(store, 0, tenant="default")
    changes.of(store, list(changes.times(store, 0, store.now())))
    lists.page(store, Filters(state="failed"), 10)
    lists.page(store, Filters(since=1.0, until=2.0), 10)
    lists.page(store, Filters(group="night"), 10)
    lists.count(store, Filters())
    lists.count(store, Filters(tenant="default", queue="live"))
    lists.count(store, Filters(group="night"))
    after = Job(depends_on=(status.id,))
    intake.submit(store, intake.Submission(after, Needs(), 4, "d"))
    queue.cancel(store, status.id)
    handing.finish(
        store, status.id, 1, token=held.token, outcome=Outcome(State.COMPLETED), retry_seconds=5
    )
    assert dependencies.settle(store).ready == 1
    queue.forget(store, 1, 100)
    assert [step for step in steps if WHOLE.search(step)] == []


@pytest.mark.parametrize(
    ("index", "asked"),
    [
        ("jobs_by_state", {"state": "queued"}),
        ("jobs_by_state", {"queue": "default"}),
        ("jobs_by_state", {"state": "queued", "queue": "default"}),
        ("jobs_by_tenant", {"tenant": "default"}),
        ("jobs_by_tenant", {"tenant": "default", "state": "queued"}),
        ("jobs_by_tenant", {"tenant": "default", "queue": "default"}),
        ("jobs_by_worker", {"worker": "ada"}),
        ("jobs_by_worker", {"worker": "ada", **KIND}),
        ("jobs_by_group", {"group": "night", **KIND}),
        ("labels_by_value", {"label": ("color", "red")}),
        ("labels_by_value", {"label": ("color", "red"), **KIND}),
    ],
)
def test_a_page_is_read_where_its_jobs_stand_in_order(
    store: Store, steps: list[str], index: str, asked: dict[str, Any]
) -> None:
    intake.submit(store, intake.Submission(Job(), Needs(), 4, "d"))
    steps.clear()
    lists.page(store, Filters(before=100, **asked), 10)
    (read,) = (step for step in steps if re.search(f"INDEX {index}|Backward using {index}", step))
    assert "<" in read or store.compares_rows
    assert [step for step in steps if WHOLE.search(step)] == []
