"""What is asked of a job after it was accepted, and what its worker says of it."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.model import (
    Claim,
    Heartbeat,
    HeartbeatOrder,
    JobStatus,
    Limits,
    Order,
    Report,
    State,
    Terms,
)
from ffmpeg_jobs.problems import Conflict, NotFound
from ffmpeg_master.store import jobs, queue, wishes
from ffmpeg_master.store.engine import Store
from tests import handing
from tests.store.conftest import Clock
from tests.store.test_queue import LEASE, NETWORK, claim, claimed, expire, finish, submit


def beat(
    store: Store, held: Claim, in_force: Terms | None = None, unmet: str | None = None
) -> HeartbeatOrder:
    report = Report(held.job_id, held.attempt, held.token, in_force=in_force, unmet=unmet)
    (answer,) = queue.heartbeat(store, "ada", Heartbeat((report,)), LEASE).orders
    return answer


def show(store: Store, held: Claim) -> JobStatus:
    return jobs.show(store, held.job_id)


def test_a_queued_job_is_claimed_with_its_new_limits(store: Store) -> None:
    job_id = submit(store, resource_limits=Limits(max_cpu_percent=50))
    changes = {"max_memory_mb": 300, "timeout_sec": 60}
    status, changed = wishes.set_limits(store, job_id, changes)
    assert changed
    held = claim(store, job_id)
    assert held is not None
    assert held.job.resource_limits == Limits(50, 300, timeout_sec=60)
    assert status.job == held.job


def test_choosing_a_worker_goes_by_the_new_limits(store: Store) -> None:
    job_id = submit(store)
    wishes.set_limits(store, job_id, {"max_memory_mb": 300, "max_cpu_percent": 250})
    (waiting,) = handing.waiting(store)
    assert (waiting.needs.memory_mb, waiting.needs.cpu_percent) == (300, 250)


def test_the_same_limits_again_change_nothing(store: Store, clock: Clock) -> None:
    job_id = submit(store)
    first, _ = wishes.set_limits(store, job_id, {"max_memory_mb": 300})
    clock.forward(1)
    assert wishes.set_limits(store, job_id, {"max_memory_mb": 300}) == (first, False)


def test_a_worker_hears_with_each_heartbeat_what_is_wanted(store: Store) -> None:
    held = claimed(store, resource_limits=Limits(max_cpu_percent=50, max_memory_mb=256))
    assert beat(store, held).wanted == Terms(False, 50, 256)
    wishes.set_limits(store, held.job_id, {"max_cpu_percent": 75})
    wishes.set_paused(store, held.job_id, True)
    for _ in range(2):  # the first answer may have been lost
        assert beat(store, held).wanted == Terms(True, 75, 256)
    wishes.set_paused(store, held.job_id, False)
    assert beat(store, held).wanted == Terms(False, 75, 256)


def test_a_job_is_paused_once_its_worker_says_so(store: Store) -> None:
    held = claimed(store)
    status, _ = wishes.set_paused(store, held.job_id, True)
    assert (status.state, status.pause_requested) == (State.RUNNING, True)
    beat(store, held, Terms(False, 50, 256))
    assert show(store, held).state is State.RUNNING
    beat(store, held, Terms(True, 50, 256))
    assert show(store, held).state is State.PAUSED
    assert show(store, held).in_force == Terms(True, 50, 256)
    wishes.set_paused(store, held.job_id, False)
    assert show(store, held).state is State.PAUSED
    beat(store, held, Terms(False, 50, 256))
    assert show(store, held).state is State.RUNNING


def test_what_a_worker_could_not_do_is_shown_until_another_wish(store: Store) -> None:
    held = claimed(store)
    wishes.set_limits(store, held.job_id, {"max_cpu_percent": 800})
    beat(store, held, Terms(False, 50, 256), "800 is over the cap")
    assert show(store, held).unmet == "800 is over the cap"
    wishes.set_limits(store, held.job_id, {"max_cpu_percent": 75})
    assert show(store, held).unmet is None


def test_pausing_twice_is_pausing_once(store: Store, clock: Clock) -> None:
    held = claimed(store)
    first, changed = wishes.set_paused(store, held.job_id, True)
    clock.forward(1)
    assert changed
    assert wishes.set_paused(store, held.job_id, True) == (first, False)


def test_the_timeout_of_a_running_job_is_refused_with_the_reason(store: Store) -> None:
    held = claimed(store, resource_limits=Limits(timeout_sec=90))
    with pytest.raises(Conflict, match=r"is running; timeout_sec .* systemd fixes RuntimeMaxSec"):
        wishes.set_limits(store, held.job_id, {"timeout_sec": 60, "max_memory_mb": 300})
    assert show(store, held).job.resource_limits == Limits(timeout_sec=90)
    assert wishes.set_limits(store, held.job_id, {"timeout_sec": 90})[1] is False


@pytest.mark.parametrize("paused", [True, False])
def test_only_what_runs_can_be_paused_and_resumed(store: Store, paused: bool) -> None:
    waiting, held, stopping = submit(store), claimed(store), claimed(store)
    finish(store, held)
    queue.cancel(store, stopping.job_id)
    for job_id, words in (
        (waiting, "is queued; only one that runs"),
        (held.job_id, "is completed; only one that runs"),
        (stopping.job_id, "it is being canceled"),
    ):
        with pytest.raises(Conflict, match=words):
            wishes.set_paused(store, job_id, paused)
    with pytest.raises(NotFound):
        wishes.set_paused(store, "aaaaaaaaaaaa", paused)


def test_the_limits_of_a_job_that_ended_stay(store: Store) -> None:
    held = claimed(store)
    finish(store, held)
    with pytest.raises(Conflict, match="is completed; only the limits of a live one"):
        wishes.set_limits(store, held.job_id, {"max_memory_mb": 300})


def test_the_next_attempt_has_the_new_limits_and_is_not_paused(store: Store, clock: Clock) -> None:
    held = claimed(store)
    wishes.set_limits(store, held.job_id, {"max_memory_mb": 300})
    wishes.set_paused(store, held.job_id, True)
    beat(store, held, Terms(True, None, 300), "something")
    clock.forward(LEASE + 1)
    (status,) = expire(store)
    assert (status.state, status.pause_requested) == (State.QUEUED, False)
    assert (status.in_force, status.unmet) == (None, None)
    clock.forward(60)
    again = claim(store, held.job_id, "bob")
    assert again is not None
    assert again.job.resource_limits.max_memory_mb == 300


def test_a_paused_job_is_held_ended_and_canceled_like_one_that_runs(store: Store) -> None:
    held, other = claimed(store), claimed(store)
    for each in (held, other):
        wishes.set_paused(store, each.job_id, True)
        beat(store, each, Terms(True))
    assert claim(store, submit(store), "ada") is None  # its place is taken
    queue.cancel(store, held.job_id)
    assert beat(store, held, Terms(True)).order is Order.CANCEL
    status = finish(store, other, NETWORK)
    assert status is not None
    assert status.state is State.QUEUED


def test_an_attempt_that_is_not_the_current_one_is_told_nothing(store: Store) -> None:
    held = claimed(store)
    finish(store, held)
    assert beat(store, held, Terms(True)) == HeartbeatOrder(held.job_id, 1, Order.LOST)
    assert show(store, held).state is State.COMPLETED
