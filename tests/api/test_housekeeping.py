"""What time does to jobs happens, whatever else goes wrong in a round."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import update

from ffmpeg_jobs.model import Claim, Outcome, Reason, Result, Role, State
from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.housekeeping import Housekeeping
from ffmpeg_master.store import queue
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

    def claim() -> Claim | None:
        while True:  # its first look may yet be going on when the table is lost
            with suppress(Unavailable):
                return client.claim("ada", PATIENCE_SECONDS)

    thread, found = in_thread(claim)
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


def test_more_is_forgotten_than_comes(inside: Inside) -> None:
    client = inside.client()
    for _ in range(3):
        client.submit_batch([JOB] * 100)
    ids = [job.id for job in client.jobs(300)]
    queue.cancel_all(inside.master.store, ids)
    inside.clock.forward((inside.master.config.retain_days + 1) * 86400)
    inside.housekeeping.round()
    assert not list(client.jobs(1))


def test_a_stop_does_not_wait_until_all_is_forgotten(inside: Inside) -> None:
    """It comes in the pause between two transactions, as others' writes do."""
    client = inside.client()
    client.submit_batch([JOB] * 300)
    queue.cancel_all(inside.master.store, [job.id for job in client.jobs(300)])
    inside.clock.forward((inside.master.config.retain_days + 1) * 86400)
    inside.housekeeping.stop()
    inside.housekeeping.round()
    assert len(list(client.jobs())) == 200


@pytest.mark.parametrize(("lease_seconds", "away", "lasts"), [(8, 4.1, True), (8, 2.0, False)])
def test_a_short_lease_outlives_a_short_outage(
    inside: Inside, lease_seconds: int, away: float, lasts: bool
) -> None:
    object.__setattr__(inside.master.config, "lease_seconds", lease_seconds)
    client = inside.client()
    client.register("ada", MACHINE)
    job_id = client.submit(JOB).id
    assert client.claim("ada", 0) is not None
    steps = int(lease_seconds / away) + 1
    for _ in range(steps):
        inside.clock.forward(away)
        inside.housekeeping.round()
    assert (client.job(job_id).state is State.RUNNING) is lasts


def test_no_lease_ends_between_a_sleep_and_the_next_round(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    job_id = client.submit(JOB).id
    assert client.claim("ada", 0) is not None
    inside.housekeeping._attend()
    inside.clock.forward(3600)  # the machine sleeps here
    inside.housekeeping._expire()
    assert client.job(job_id).state is State.RUNNING


def test_a_clock_that_is_right_again_keeps_no_job_waiting(inside: Inside) -> None:
    client = inside.client()
    inside.housekeeping.offer()
    inside.clock.forward(25)
    inside.housekeeping.offer()
    job_id = client.submit(JOB).id
    inside.clock.forward(-25)
    with waiter(inside) as found:
        inside.housekeeping.offer()
    assert [isinstance(claim, Claim) and claim.job_id for claim in found] == [job_id]
    (told,) = [line for line in inside.log if line["event"] == "clock_set_back"]
    assert 24 < told["seconds"] < 26


def test_a_clock_that_was_set_back_before_the_master_began(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    held, waits = client.submit(JOB).id, client.submit(JOB).id
    found = client.claim("ada", 0)
    assert found is not None and found.job_id == held
    inside.clock.forward(-900)
    assert client.claim("ada", 0) is None
    begun = Housekeeping(inside.master)
    begun.round()
    found = client.claim("ada", 0)
    assert found is not None and found.job_id == waits
    for _ in range(13):
        inside.clock.forward(5)
        begun.round()
    assert client.job(held).reason is Reason.WORKER_LOST


def test_a_clock_that_goes_on_brings_nothing_back(inside: Inside) -> None:
    for seconds in (0.2, 3600, 0.2, 0):
        inside.clock.forward(seconds)
        inside.housekeeping.offer()
    assert not [line for line in inside.log if line["event"] == "clock_set_back"]
