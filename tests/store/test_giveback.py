"""An attempt that was not made uses its number up, and no try of its job."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.model import Claim, JobStatus, Order, Outcome, Reason, State
from ffmpeg_jobs.problems import StaleAttempt
from ffmpeg_master.store import giveback, jobs, queue
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.retry import retry
from ffmpeg_master.store.transitions import GIVE_BACKS_MAX
from tests import handing
from tests.store.conftest import Clock
from tests.store.test_queue import DONE, LEASE, NETWORK, beat, claim, claimed, finish, submit


def release(store: Store, held: Claim, token: str = "") -> JobStatus | None:
    given = giveback.release(
        store,
        held.job_id,
        held.attempt,
        token=token or held.token,
        why="the worker drains",
        retry_seconds=5,
    )
    if given is None:
        return None
    status, worker = given
    assert worker == "ada"
    return status


def again(store: Store, job_id: str, worker: str = "ada") -> Claim:
    found = claim(store, job_id, worker)
    assert found is not None
    return found


def test_it_is_queued_at_once_and_better_elsewhere(store: Store) -> None:
    held = claimed(store)
    status = release(store, held)
    assert status is not None
    assert (status.state, status.worker, status.given_back) == (State.QUEUED, None, 1)
    (waiting,) = handing.waiting(store)
    assert waiting.avoid_worker == "ada"
    assert again(store, held.job_id, "bob").attempt == 2


def test_tries_are_not_used_up(store: Store, clock: Clock) -> None:
    job_id = submit(store, max_attempts=2)
    for _ in range(3):
        release(store, again(store, job_id))
    finish(store, again(store, job_id), NETWORK)
    assert jobs.show(store, job_id).state is State.QUEUED
    clock.forward(5 * 1.25)  # the wait of a first try, not of a fourth
    finish(store, again(store, job_id), NETWORK)
    ended = jobs.show(store, job_id)
    assert (ended.state, ended.attempt, ended.given_back) == (State.FAILED, 5, 3)


def test_a_job_that_was_retried_may_be_given_back_as_often_again(store: Store) -> None:
    job_id = submit(store, max_attempts=1)
    for _ in range(GIVE_BACKS_MAX + 1):
        ended = release(store, again(store, job_id))
    assert ended is not None and ended.state is State.FAILED
    retry(store, job_id)
    for _ in range(GIVE_BACKS_MAX):
        queued = release(store, again(store, job_id))
        assert queued is not None and queued.state is State.QUEUED
    ended = release(store, again(store, job_id))
    assert ended is not None and ended.state is State.FAILED


def test_the_same_again_changes_nothing(store: Store) -> None:
    held = claimed(store)
    release(store, held)
    assert release(store, held) is None
    assert jobs.show(store, held.job_id).given_back == 1


def test_it_no_longer_speaks_for_the_job(store: Store) -> None:
    held = claimed(store)
    release(store, held)
    assert beat(store, held) is Order.LOST
    with pytest.raises(StaleAttempt):
        finish(store, held, DONE)
    again(store, held.job_id, "bob")
    with pytest.raises(StaleAttempt):
        release(store, held)


def test_what_was_told_or_is_not_ours_cannot_be_given_back(store: Store) -> None:
    held = claimed(store)
    with pytest.raises(StaleAttempt):
        release(store, held, token="x" * 32)
    finish(store, held)
    with pytest.raises(StaleAttempt):
        release(store, held)
    assert jobs.show(store, held.job_id).state is State.COMPLETED


def test_a_job_that_is_being_canceled_ends(store: Store) -> None:
    held = claimed(store)
    queue.cancel(store, held.job_id)
    status = release(store, held)
    assert status is not None
    assert (status.state, status.reason) == (State.CANCELED, Reason.CANCELED)


def test_it_does_not_go_round_for_ever(store: Store) -> None:
    job_id = submit(store, max_attempts=1)
    for _ in range(GIVE_BACKS_MAX):
        release(store, again(store, job_id))
    status = release(store, again(store, job_id))
    assert status is not None
    assert (status.state, status.reason) == (State.FAILED, Reason.WORKER_LOST)
    assert status.error == "given back 21 times, the last time because the worker drains"


def unheard(store: Store, serial: int, *reported: Claim) -> list[str]:
    told = {(held.job_id, held.attempt) for held in reported}
    return [status.id for status in giveback.unheard(store, "ada", serial, told, 5)]


def claim_as(store: Store, serial: int, worker: str = "ada") -> Claim:
    found = handing.claim(store, submit(store), worker, most=9, lease_seconds=LEASE, serial=serial)
    assert found is not None
    return found


def test_a_claim_whose_answer_was_lost_is_found(store: Store) -> None:
    lost, held, open_still = claim_as(store, 1), claim_as(store, 2), claim_as(store, 3)
    claim_as(store, 1, "bob")
    assert unheard(store, 3, held) == [lost.job_id]
    assert unheard(store, 3, held) == []
    assert jobs.show(store, lost.job_id).given_back == 1
    assert jobs.show(store, open_still.job_id).state is State.RUNNING
    with pytest.raises(StaleAttempt):  # it comes after all
        finish(store, lost)
    with pytest.raises(StaleAttempt):
        release(store, lost)


def test_workers_that_do_not_count_their_claims_are_left_alone(store: Store) -> None:
    claimed(store)
    assert unheard(store, 1 << 50) == []


def test_an_attempt_that_was_told_of_is_not_lost(store: Store) -> None:
    held = claim_as(store, 1)
    finish(store, held, Outcome(State.COMPLETED))
    assert unheard(store, 2) == []
