"""A worker was silent for too long, and is back: what it made counts until others make it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ffmpeg_jobs.model import Claim, Order, Outcome, Reason, Result, State
from ffmpeg_jobs.problems import StaleAttempt
from ffmpeg_master.model import Left
from ffmpeg_master.store import attempts, claims, giveback, jobs, leases, logs, queue, retry
from ffmpeg_master.store.engine import Store
from tests import handing
from tests.store.conftest import Clock
from tests.store.test_queue import DONE, LEASE, beat, claim, claimed, expire, finish, submit


def silent(store: Store, clock: Clock, **fields: Any) -> Claim:
    """An attempt that was given up."""
    held = claimed(store, **fields)
    clock.forward(LEASE + 1)
    assert [status.id for status in expire(store)] == [held.job_id]
    return held


def leave_it(store: Store, job_id: str) -> None:
    pass


def retry_it(store: Store, job_id: str) -> None:
    queue.cancel(store, job_id)
    retry.retry(store, job_id)


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("meanwhile", [leave_it, queue.cancel, retry_it])
def test_what_completed_counts_however_late_unless_there_is_another_attempt(
    store: Store, clock: Clock, most: int, meanwhile: Callable[[Store, str], object]
) -> None:
    """Its output lies in its place: nothing else is said of the job."""
    held = silent(store, clock, max_attempts=most)
    if most > 1 or meanwhile is leave_it:
        meanwhile(store, held.job_id)
    logs.put(store, held.job_id, 1, held.token, b"late")
    with pytest.raises(StaleAttempt):
        finish(store, held, token="x" * 32)
    status = finish(store, held)
    assert status is not None
    assert (status.state, status.worker, status.reason) == (State.COMPLETED, "ada", None)
    assert jobs.show(store, held.job_id) == status
    assert finish(store, held) is None
    assert claim(store, held.job_id, "bob") is None
    (attempt,) = attempts.of(store, held.job_id)[1]
    assert attempt.outcome == DONE
    assert logs.read(store, held.job_id, None)[1] == b"late"


def test_what_completed_late_counts_with_a_claim_too(store: Store, clock: Clock) -> None:
    late, soon = silent(store, clock), claimed(store)
    results = tuple(Result(one.job_id, one.attempt, one.token, DONE) for one in (late, soon))
    asked = claims.Asked("ada", LEASE, 5, results=results)
    given = claims.claim(store, asked, iter_no_jobs())
    assert {status.state for status in given.ended} == {State.COMPLETED}
    assert given.refused == ()
    assert [jobs.show(store, one.job_id).state for one in (late, soon)] == [State.COMPLETED] * 2


def iter_no_jobs() -> claims.Choices:
    return Left.NOTHING
    yield []


def test_a_late_failure_counts_only_while_the_job_waits_for_its_next_attempt(
    store: Store, clock: Clock
) -> None:
    fault = Outcome(State.FAILED, Reason.INPUT_ERROR, "no media")
    status = finish(store, held := silent(store, clock), fault)
    assert status is not None
    assert (status.state, status.reason) == (State.FAILED, Reason.INPUT_ERROR)
    assert claim(store, held.job_id, "bob") is None
    ended = silent(store, clock, max_attempts=1)
    asked_for = silent(store, clock)
    retry_it(store, asked_for.job_id)
    for other in (ended, asked_for):
        before = jobs.show(store, other.job_id)
        with pytest.raises(StaleAttempt):
            finish(store, other, fault)
        assert jobs.show(store, other.job_id) == before


def test_an_attempt_that_was_never_made_has_no_late_outcome(store: Store) -> None:
    job_id = submit(store)
    held = handing.claim(store, job_id, "ada", most=2, lease_seconds=LEASE, serial=1)
    assert held is not None
    giveback.unheard(store, "ada", 2, set(), 5)
    with pytest.raises(StaleAttempt):
        finish(store, held)
    with pytest.raises(StaleAttempt):
        logs.put(store, job_id, 1, held.token, b"mine")


def test_who_publishes_is_waited_for_longer(store: Store, clock: Clock) -> None:
    held = claimed(store)
    logs.put(store, held.job_id, 1, held.token, b"log", publishing_lease_seconds=LEASE)
    clock.forward(1)
    assert beat(store, held) is Order.CONTINUE  # which was on its way
    clock.forward(leases.PUBLISHING_LEASES * LEASE - 2)
    assert expire(store) == []
    clock.forward(2)
    (status,) = expire(store)
    assert "no sign of life for 300 s" in str(status.error)
    with pytest.raises(StaleAttempt):  # it may be another's to publish at any moment
        logs.put(store, held.job_id, 1, held.token, b"log", publishing_lease_seconds=LEASE)
