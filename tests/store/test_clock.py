"""The clock is set while jobs wait and run: none waits for the step, and no lease lasts for it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from ffmpeg_jobs.model import Claim, Heartbeat, Job, Outcome, Reason, Report, State
from ffmpeg_master.model import Needs
from ffmpeg_master.store import (
    attendance,
    giveback,
    intake,
    jobs,
    logs,
    outbox,
    queue,
    wishes,
    workers,
)
from ffmpeg_master.store import (
    clock as clocks,
)
from ffmpeg_master.store.clock import Righted, set_right
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import jobs as jobs_table
from tests import handing
from tests.store.conftest import Clock

LEASE = 60.0
STEP = 900.0
NETWORK = Outcome(State.FAILED, Reason.NETWORK_ERROR, "the server broke off")


def submit(store: Store, **fields: Any) -> str:
    job = Job(**fields)
    return intake.submit(store, intake.Submission(job, Needs(), 4, "digest"))[0].id


def claim(store: Store, job_id: str, worker: str = "ada") -> Claim | None:
    return handing.claim(store, job_id, worker, most=9, lease_seconds=LEASE)


def claimed(store: Store) -> Claim:
    found = claim(store, submit(store))
    assert found is not None
    return found


def ready(store: Store) -> set[str]:
    return {job.job_id for job in handing.waiting(store)}


def lease_seconds(store: Store, clock: Clock, job_id: str) -> float:
    one = select(jobs_table.c.lease_until).where(jobs_table.c.id == job_id)
    with store.read() as connection:
        return float(connection.execute(one).scalar_one() - clock())


def test_what_was_accepted_while_the_clock_was_ahead_waits_no_longer(
    store: Store, clock: Clock
) -> None:
    before = submit(store)
    clock.forward(STEP)
    first, last = submit(store), submit(store)
    waits = submit(store, depends_on=(first,))
    clock.forward(-STEP)
    assert ready(store) == {before}
    assert set_right(store).jobs == 3
    assert [job.job_id for job in handing.waiting(store)] == [before, first, last]
    handed = claim(store, first)
    assert handed is not None
    done = Outcome(State.COMPLETED)
    handing.finish(store, first, 1, token=handed.token, outcome=done, retry_seconds=5)
    assert jobs.show(store, waits).awaited is False
    assert set_right(store) == Righted(0, 0)


def test_a_retry_waits_its_own_time(store: Store, clock: Clock) -> None:
    clock.forward(STEP)
    held = claimed(store)
    at = (store, held.job_id, held.attempt)
    handing.finish(*at, token=held.token, outcome=NETWORK, retry_seconds=40)
    clock.forward(-STEP)
    set_right(store)
    clock.forward(39)
    assert ready(store) == set()
    clock.forward(12)
    assert ready(store) == {held.job_id}


@pytest.mark.parametrize("asked_seconds", [-100.0, 100.0, STEP - 100, STEP + 100])
def test_a_time_that_a_job_asked_for_stays(
    store: Store, clock: Clock, asked_seconds: float
) -> None:
    asked = jobs.timestamp(clock() + asked_seconds)
    clock.forward(STEP)
    later = {submit(store, not_before=asked), submit(store, not_before=asked)}
    clock.forward(-STEP)
    set_right(store)
    # Who asked for a time that had come by then is not told from who asked for none.
    wait_seconds = asked_seconds if asked_seconds > STEP else 0.0
    if wait_seconds:
        clock.forward(wait_seconds - 1)
        assert ready(store) == set()
        clock.forward(1)
    assert ready(store) == later


def test_a_lease_lasts_its_own_time(store: Store, clock: Clock) -> None:
    silent, heard, publishes, renewed = (claimed(store) for _ in range(4))
    clock.forward(STEP)
    attendance.attend(store, 10, LEASE)  # as who comes back: nobody could extend one meanwhile
    report = Report(heard.job_id, heard.attempt, heard.token)
    queue.heartbeat(store, "ada", Heartbeat((report,)), LEASE)
    put = (publishes.job_id, 1, publishes.token, b"")
    logs.put(store, *put, publishing_lease_seconds=LEASE)
    wishes.set_paused(store, renewed.job_id, True)
    clock.forward(-STEP)
    assert lease_seconds(store, clock, silent.job_id) == STEP + LEASE
    assert set_right(store) == Righted(4, 0)
    for one, lasts in ((silent, LEASE), (heard, LEASE), (publishes, 5 * LEASE), (renewed, LEASE)):
        assert lease_seconds(store, clock, one.job_id) == lasts
    clock.forward(LEASE + 1)
    ended = {status.id for status, _ in queue.expire(store, LEASE)}
    assert ended == {silent.job_id, heard.job_id, renewed.job_id}


def test_what_is_given_back_after_the_step_is_there_at_once(store: Store, clock: Clock) -> None:
    clock.forward(STEP)
    held = claimed(store)
    clock.forward(-STEP)
    at = (store, held.job_id, held.attempt)
    giveback.release(*at, token=held.token, why="stop", retry_seconds=5)
    assert ready(store) == {held.job_id}


def test_a_worker_that_was_heard_ahead_of_the_time_is_not_there_for_longer(
    store: Store, clock: Clock
) -> None:
    clock.forward(STEP)
    queue.heartbeat(store, "ada", Heartbeat(), LEASE)
    clock.forward(-STEP)
    set_right(store)
    clock.forward(LEASE + 1)
    assert not any(member.online for member in workers.fleet(store, online_seconds=LEASE))


def test_a_webhook_of_that_time_is_sent(store: Store, clock: Clock) -> None:
    clock.forward(STEP)
    job_id = submit(store, callback_url="https://h/hook")
    queue.cancel(store, job_id)
    clock.forward(-STEP)
    assert outbox.take(store, 9, lambda _: True) == []
    set_right(store)
    (webhook,) = outbox.take(store, 9, lambda _: True)
    assert webhook.type == "job.canceled"


def test_very_many_are_brought_back_in_small_steps(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.forward(STEP)
    made = {submit(store) for _ in range(7)}
    clock.forward(-STEP)
    monkeypatch.setattr(clocks, "_QUEUED", clocks._QUEUED.limit(3))
    assert set_right(store).jobs == 7
    assert ready(store) == made
