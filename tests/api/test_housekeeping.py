"""What time does to jobs happens, whatever else goes wrong in a round."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import update

from ffmpeg_jobs.model import Claim, Outcome, Result, Role, State
from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.store.jobs import timestamp
from ffmpeg_master.store.tables import jobs
from tests.api.conftest import JOB, MACHINE, PATIENCE_SECONDS, Inside, in_thread, until
from tests.conftest import ENGINES

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)


def submit_later(inside: Inside, seconds: float) -> str:
    due_at = timestamp(inside.clock() + seconds)
    return inside.client().submit({**JOB, "not_before": due_at}).id


@contextmanager
def waiter(inside: Inside) -> Iterator[list[Any]]:
    """A claim that is held, and what it gets."""
    inside.client().register("ada", MACHINE)
    client = inside.client(Role.WORKER)
    thread, found = in_thread(lambda: client.claim("ada", PATIENCE_SECONDS))
    until(lambda: len(inside.master.wakeup) == 1)
    yield found
    thread.join(PATIENCE_SECONDS / 2)


@contextmanager
def lost(inside: Inside, table: str) -> Iterator[None]:
    """No transaction finds that table."""
    with inside.master.store.write() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO lost")
    yield
    with inside.master.store.write() as connection:
        connection.exec_driver_sql(f"ALTER TABLE lost RENAME TO {table}")


@pytest.mark.parametrize("table", ["attendance", "jobs"])
def test_a_round_that_failed_leaves_no_job_unoffered(inside: Inside, table: str) -> None:
    job_id = submit_later(inside, 60)
    inside.housekeeping.round()
    with waiter(inside) as found:
        with lost(inside, table), pytest.raises(Unavailable):
            inside.clock.forward(61)
            inside.housekeeping.round()
        inside.clock.forward(9)
        inside.housekeeping.round()
    assert [isinstance(claim, Claim) and claim.job_id for claim in found] == [job_id]


def test_a_job_that_is_committed_after_its_time_is_offered(inside: Inside) -> None:
    job_id = submit_later(inside, 3600)
    with waiter(inside) as found:
        inside.clock.forward(1)
        inside.housekeeping.round()
        with inside.master.store.write() as connection:
            late = update(jobs).where(jobs.c.id == job_id)
            connection.execute(late.values(not_before=inside.clock() - 0.5))
        inside.housekeeping.round()
    assert [isinstance(claim, Claim) and claim.job_id for claim in found] == [job_id]


def test_jobs_that_are_overdue_are_in_nobodys_way(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    late = JOB | {"deadline": timestamp(inside.clock() + 60)}
    client.submit_batch([late] * 1000)
    good = client.submit(JOB).id
    inside.clock.forward(61)
    claim = client.claim("ada", 0)
    assert claim is not None and claim.job_id == good
    inside.housekeeping.round()
    assert client.claim("ada", 0) is None
    states = inside.call("GET", "/jobs/counts").json()["states"]
    assert (states["failed"], states["queued"]) == (1000, 0)


def test_what_follows_a_claim_may_fail_and_the_claim_is_answered(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    first = client.submit(JOB).id
    claim = client.claim("ada", 0)
    assert claim is not None
    last = client.submit(JOB | {"depends_on": [first]}).id
    other = client.submit(JOB).id
    result = Result(first, claim.attempt, claim.token, Outcome(State.COMPLETED))
    with lost(inside, "dependencies"):
        given = client.claims("ada", 0, results=(result,))
    assert [claim.job_id for claim in given.claims] == [other]
    assert client.claim("ada", 0) is None
    inside.housekeeping.round()
    late = client.claim("ada", 0)
    assert late is not None and late.job_id == last
