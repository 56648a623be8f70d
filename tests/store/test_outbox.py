"""Webhooks are written with the change that they tell of, and each is one sender's at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ffmpeg_jobs.model import CallbackState, Claim, Job, Outcome, Reason, State
from ffmpeg_master.model import Needs, Webhook
from ffmpeg_master.store import dependencies, giveback, intake, outbox, queue
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.jobs import show
from tests import handing
from tests.store.conftest import Clock

URL = "https://app.example/jobs"
COMPLETED = Outcome(State.COMPLETED)


@dataclass(frozen=True)
class Queue:
    store: Store
    clock: Clock

    def submit(self, **more: object) -> str:
        job = Job(callback_url=URL, max_attempts=1)
        submission = intake.Submission(Job(**{**job.__dict__, **more}), Needs(), 4, "")
        return intake.submit(self.store, submission)[0].id

    def claim(self, job_id: str, serial: int = 1) -> Claim:
        claim = handing.claim(self.store, job_id, "ada", most=9, lease_seconds=60, serial=serial)
        assert claim is not None
        return claim

    def started(self) -> Claim:
        claim = self.claim(self.submit())
        self.told()
        return claim

    def finish(self, claim: Claim, outcome: Outcome) -> None:
        at = (self.store, claim.job_id, claim.attempt)
        handing.finish(*at, token=claim.token, outcome=outcome, retry_seconds=0)

    def told(self) -> list[Webhook]:
        """What is to be sent; it is then."""
        found = outbox.take(self.store, 100, lambda _: True)
        for webhook in found:
            outbox.delivered(self.store, webhook)
        return found


@pytest.fixture
def line(store: Store, clock: Clock) -> Queue:
    return Queue(store, clock)


def cancel_while_it_runs(line: Queue) -> None:
    claim = line.started()
    queue.cancel(line.store, claim.job_id)
    line.finish(claim, Outcome(State.CANCELED, Reason.CANCELED))


def release_what_is_canceled(line: Queue) -> None:
    claim = line.started()
    queue.cancel(line.store, claim.job_id)
    at = (line.store, claim.job_id, claim.attempt)
    giveback.release(*at, token=claim.token, why="stop", retry_seconds=0)


def never_hear_of_what_is_canceled(line: Queue) -> None:
    claim = line.started()
    queue.cancel(line.store, claim.job_id)
    giveback.unheard(line.store, "ada", 2, set(), 0)


def lose_the_worker(line: Queue) -> None:
    line.started()
    line.clock.forward(100)
    queue.expire(line.store, 60)


def pass_the_deadline(line: Queue) -> None:
    line.submit(deadline="2023-11-14T22:14:00Z")
    line.clock.forward(100)
    queue.overdue(line.store)


def depend_on_what_fails(line: Queue) -> None:
    first = line.submit(callback_url=None)
    line.submit(depends_on=(first,))
    queue.cancel(line.store, first)
    dependencies.settle(line.store)


ENDS: dict[str, tuple[Callable[[Queue], object], str]] = {
    "completed": (lambda line: line.finish(line.started(), COMPLETED), "job.completed"),
    "failed": (
        lambda line: line.finish(line.started(), Outcome(State.FAILED, Reason.TIMEOUT)),
        "job.failed",
    ),
    "canceled while queued": (
        lambda line: queue.cancel(line.store, line.submit()),
        "job.canceled",
    ),
    "canceled with others": (
        lambda line: queue.cancel_all(line.store, [line.submit()]),
        "job.canceled",
    ),
    "canceled while it ran": (cancel_while_it_runs, "job.canceled"),
    "canceled and given back": (release_what_is_canceled, "job.canceled"),
    "canceled and not heard of": (never_hear_of_what_is_canceled, "job.canceled"),
    "its worker was lost": (lose_the_worker, "job.failed"),
    "what it depends on did not complete": (depend_on_what_fails, "job.failed"),
    "its deadline passed": (pass_the_deadline, "job.failed"),
}


@pytest.mark.parametrize("end", ENDS)
def test_however_a_job_ends_it_is_told(line: Queue, end: str) -> None:
    does, event = ENDS[end]
    does(line)
    (webhook,) = line.told()
    assert webhook.type == event == f"job.{webhook.status.state.value}"
    assert webhook.status.job.callback_url == URL
    assert line.told() == []


def test_a_cancel_that_comes_late_changes_and_tells_nothing(line: Queue) -> None:
    claim = line.started()
    line.finish(claim, Outcome(State.CANCELED, Reason.CANCELED, "stopped at the machine"))
    assert [webhook.type for webhook in line.told()] == ["job.canceled"]
    before = show(line.store, claim.job_id)
    line.clock.forward(1)
    assert queue.cancel(line.store, claim.job_id) == (before, False)
    assert line.told() == []


def test_its_start_is_told_and_the_worker_is_not_told_where(line: Queue) -> None:
    claim = line.claim(line.submit())
    assert claim.job.callback_url is None
    (webhook,) = line.told()
    assert (webhook.type, webhook.status.worker, webhook.tries) == ("job.started", "ada", 1)


def test_what_goes_on_is_not_told(line: Queue) -> None:
    job = line.submit(max_attempts=2)
    claim = line.claim(job)
    line.told()
    line.finish(claim, Outcome(State.FAILED, Reason.NETWORK_ERROR))
    assert line.told() == []


def test_who_did_not_ask_is_not_told(line: Queue) -> None:
    line.finish(line.claim(line.submit(callback_url=None)), COMPLETED)
    assert line.told() == []


def test_one_that_is_taken_is_not_taken_again_before_its_time(line: Queue) -> None:
    line.claim(line.submit())
    (first,) = outbox.take(line.store, 100, lambda _: True)
    line.clock.forward(outbox.LEASE_SECONDS - 1)
    assert outbox.take(line.store, 100, lambda _: True) == []
    line.clock.forward(1)
    (second,) = outbox.take(line.store, 100, lambda _: True)
    assert (second.id, second.tries) == (first.id, 2)
    outbox.failed(line.store, first, "too late to say", None)  # it is the other's now
    outbox.delivered(line.store, second)
    told = outbox.last(line.store, first.status.id)
    assert told is not None
    assert (told.state, told.tries, told.last_error) == (CallbackState.DELIVERED, 2, None)


def test_what_failed_waits_or_is_given_up(line: Queue) -> None:
    job = line.submit()
    line.claim(job)
    (webhook,) = outbox.take(line.store, 100, lambda _: True)
    outbox.failed(line.store, webhook, "it was away", line.clock.seconds + 5)
    assert outbox.take(line.store, 100, lambda _: True) == []
    line.clock.forward(5)
    (webhook,) = outbox.take(line.store, 100, lambda _: True)
    outbox.failed(line.store, webhook, "it was away", None)
    line.clock.forward(1000)
    assert outbox.take(line.store, 100, lambda _: True) == []
    told = outbox.last(line.store, job)
    assert told is not None
    assert (told.state, told.last_error) == (CallbackState.GIVEN_UP, "it was away")


def test_they_go_with_their_job(line: Queue) -> None:
    claim = line.claim(line.submit())
    line.finish(claim, COMPLETED)
    line.clock.forward(100)
    assert queue.forget(line.store, line.clock.seconds, 10) == 1
    assert outbox.last(line.store, claim.job_id) is None


def test_a_key_without_room_keeps_back_nobody_else(line: Queue) -> None:
    def submit(key: str) -> str:
        submission = intake.Submission(Job(callback_url=URL), Needs(), 4, "", submitter=key)
        job_id = intake.submit(line.store, submission)[0].id
        queue.cancel(line.store, job_id)
        return job_id

    for _ in range(230):
        submit("eve")
    late = submit("ann")
    places = {"eve": 3}

    def admits(webhook: Webhook) -> bool:
        places[webhook.key] = places.get(webhook.key, 9) - 1
        return places[webhook.key] >= 0

    found = outbox.take(line.store, 100, admits)
    assert [webhook.key for webhook in found] == ["eve"] * 3 + ["ann"]
    assert found[-1].status.id == late
    assert places["eve"] == -1  # nor is it asked of each of its
