"""Jobs that wait for other jobs, by the settling of those that ended."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ffmpeg_jobs.model import Job, Outcome, Reason, State
from ffmpeg_jobs.problems import Conflict, InvalidField
from ffmpeg_master.model import Needs
from ffmpeg_master.store import dependencies, intake, jobs, queue, waiting
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.retry import retry
from tests import handing
from tests.api.conftest import until
from tests.store.conftest import Clock

BROKEN = Outcome(State.FAILED, Reason.ENCODER_ERROR, "no such encoder")
DONE = Outcome(State.COMPLETED)


def submission(*on: str, **more: Any) -> intake.Submission:
    return intake.Submission(Job(depends_on=on), Needs(), 4, "digest", **more)


def submit(store: Store, *on: str) -> str:
    return intake.submit(store, submission(*on))[0].id


def run(store: Store, job_id: str, outcome: Outcome = DONE) -> None:
    # A claim waits for no lock: somebody may just be submitting what depends on the job.
    held = until(lambda: handing.claim(store, job_id, "ada", most=9, lease_seconds=60))
    handing.finish(store, job_id, 1, token=held.token, outcome=outcome, retry_seconds=5)


def settle(store: Store) -> None:
    while dependencies.settle(store).steps:
        pass


def in_line(store: Store) -> set[str]:
    return {job.job_id for job in handing.waiting(store)}


def test_it_waits_in_no_line_until_the_last_completed(store: Store, clock: Clock) -> None:
    first, second = submit(store), submit(store)
    last = submit(store, first, second)
    assert jobs.show(store, first).awaited
    assert in_line(store) == {first, second}
    run(store, first)
    settle(store)
    assert (in_line(store), jobs.show(store, first).awaited) == ({second}, False)
    assert dependencies.waits_for(store, last) == [second]
    clock.forward(100)
    run(store, second)
    assert in_line(store) == set()
    settle(store)
    (ready,) = handing.waiting(store)
    assert (ready.job_id, ready.since_seconds) == (last, clock())


def test_what_completed_before_is_not_waited_for(store: Store) -> None:
    first = submit(store)
    run(store, first)
    last = submit(store, first)
    assert in_line(store) == {last}
    assert jobs.show(store, last).job.depends_on == (first,)


def test_it_still_waits_for_its_own_time(store: Store, clock: Clock) -> None:
    first = submit(store)
    at = clock() + 600
    job = Job(depends_on=(first,), not_before=jobs.timestamp(at))
    last = intake.submit(store, intake.Submission(job, Needs(), 4, "digest"))[0].id
    run(store, first)
    settle(store)
    assert (in_line(store), jobs.due_at(store, last)) == (set(), at)


def test_all_that_follow_a_failed_one_end_and_name_it(store: Store) -> None:
    first = submit(store)
    second = submit(store, first)
    third, beside = submit(store, second), submit(store)
    run(store, first, BROKEN)
    settle(store)
    for job_id in (second, third):
        status = jobs.show(store, job_id)
        assert (status.state, status.reason) == (State.FAILED, Reason.DEPENDENCY_FAILED)
        assert status.error == f"never started, because job {first} failed (encoder_error)"
        assert status.finished_at is not None
    assert in_line(store) == {beside}


def test_a_canceled_one_ends_what_follows(store: Store) -> None:
    first = submit(store)
    second = submit(store, first)
    queue.cancel(store, first)
    settle(store)
    assert jobs.show(store, second).error == f"never started, because job {first} was canceled"


def test_a_retry_wakes_nothing_that_ended_and_can_be_followed_again(store: Store) -> None:
    first = submit(store)
    second = submit(store, first)
    queue.cancel(store, first)
    settle(store)
    with pytest.raises(Conflict, match=f"failed; job {first}, which it depends on, is canceled"):
        retry(store, second)
    retry(store, first)
    settle(store)
    assert jobs.show(store, second).state is State.FAILED
    retry(store, second)
    assert (in_line(store), dependencies.waits_for(store, second)) == ({first}, [first])
    run(store, first)
    settle(store)
    run(store, second, BROKEN)
    retry(store, second)
    assert in_line(store) == {second}


def test_what_a_never_started_job_depends_on_may_be_gone(store: Store, clock: Clock) -> None:
    first = submit(store)
    second = submit(store, first)
    run(store, first, BROKEN)
    clock.forward(10)
    settle(store)
    assert queue.forget(store, clock() - 5, 10) == 1
    with pytest.raises(Conflict, match=f"job {first}, which it depends on, is no longer kept"):
        retry(store, second)
    with pytest.raises(InvalidField, match=f"there is no job {first}"):
        submit(store, first)


def test_an_awaited_one_is_kept_until_its_end_was_told(store: Store, clock: Clock) -> None:
    first = submit(store)
    second = submit(store, first)
    run(store, first)
    clock.forward(1000)
    assert queue.forget(store, clock(), 10) == 0
    settle(store)
    assert queue.forget(store, clock(), 10) == 1
    assert in_line(store) == {second}


def test_a_canceled_job_that_waited_can_be_retried(store: Store) -> None:
    first = submit(store)
    second = submit(store, first)
    queue.cancel(store, second)
    assert retry(store, second).state is State.QUEUED
    assert in_line(store) == {first}
    queue.cancel(store, second)
    run(store, first)
    settle(store)
    retry(store, second)
    assert in_line(store) == {second}


def test_a_deadline_passes_while_it_waits(store: Store, clock: Clock) -> None:
    first = submit(store)
    job = Job(depends_on=(first,), deadline=jobs.timestamp(clock() + 60))
    intake.submit(store, intake.Submission(job, Needs(), 4, "digest"))
    clock.forward(61)
    (status,) = queue.overdue(store)
    assert status.reason is Reason.DEADLINE_PASSED
    assert status.error == "jobs that it depends on had not completed in time"


def test_a_batch_may_be_a_graph(store: Store) -> None:
    sent = [submission(), submission("#0"), submission("#0"), submission("#1", "#2")]
    accepted, _ = intake.submit_batch(store, sent)
    top, left, right, end = (status.id for status in accepted)
    assert accepted[3].job.depends_on == (left, right)
    assert [status.awaited for status in accepted] == [True, True, True, False]
    for done, then in ((top, {left, right}), (left, {right}), (right, {end})):
        run(store, done)
        settle(store)
        assert in_line(store) == then


def test_a_batch_with_one_hopeless_job_is_refused(store: Store) -> None:
    canceled = submit(store)
    queue.cancel(store, canceled)
    sent = [submission(place=0), submission("#0", canceled, place=1)]
    with pytest.raises(InvalidField, match=rf"jobs\[1\].depends_on\[1\]: job {canceled} is canc"):
        intake.submit_batch(store, sent)
    assert in_line(store) == set()


def test_very_many_are_told_in_small_steps(store: Store) -> None:
    first = submit(store)
    for _ in range(3):
        intake.submit_batch(store, [submission(first)] * 200)
    run(store, first)
    steps = []
    while (done := dependencies.settle(store)).steps:
        steps.append(done.ready)
    assert steps == [200, 200, 200]
    assert waiting.due(store, 0, 1e12) == 600


def test_no_end_is_missed_and_nobody_blocks_another(store: Store) -> None:
    """Users submit what depends on jobs while these end, and several masters settle."""
    firsts = [submit(store) for _ in range(8)]
    lasts: list[str] = []
    start = threading.Barrier(3)

    def users() -> None:
        start.wait()
        for index in range(40):
            lasts.append(submit(store, firsts[index % 8], firsts[(index * 3 + 1) % 8]))

    def worker() -> None:
        start.wait()
        for job_id in firsts:
            run(store, job_id)
            dependencies.settle(store)

    def another_master() -> None:
        start.wait()
        for _ in range(20):
            dependencies.settle(store)

    threads = [threading.Thread(target=work) for work in (users, worker, another_master)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settle(store)
    assert in_line(store) == set(lasts)
    assert len(lasts) == 40
