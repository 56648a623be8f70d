"""A job's way through its states, each step compared before it is set."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ffmpeg_jobs.model import (
    Claim,
    Heartbeat,
    Job,
    JobStatus,
    Order,
    Outcome,
    Progress,
    Reason,
    Report,
    State,
    Usage,
)
from ffmpeg_jobs.problems import Conflict, NotFound, StaleAttempt
from ffmpeg_master.model import Needs
from ffmpeg_master.store import attendance, intake, jobs, logs, queue, waiting, workers
from ffmpeg_master.store.engine import Store
from tests import handing
from tests.store.conftest import Clock

LEASE = 60.0
DONE = Outcome(State.COMPLETED, usage=Usage(cpu_seconds=1.5))
NETWORK = Outcome(State.FAILED, Reason.NETWORK_ERROR, "the server broke off")


def submit(store: Store, **fields: Any) -> str:
    job = Job(**fields)
    status, _ = intake.submit(store, intake.Submission(job, Needs(memory_mb=1), 4, "digest"))
    return status.id


def claim(store: Store, job_id: str, worker: str = "ada", most: int = 2) -> Claim | None:
    return handing.claim(store, job_id, worker, most=most, lease_seconds=LEASE)


def claimed(store: Store, **fields: Any) -> Claim:
    found = claim(store, submit(store, **fields))
    assert found is not None
    return found


def finish(store: Store, held: Claim, outcome: Outcome = DONE, token: str = "") -> JobStatus | None:
    return handing.finish(
        store,
        held.job_id,
        held.attempt,
        token=token or held.token,
        outcome=outcome,
        retry_seconds=5,
    )


def beat(store: Store, held: Claim, worker: str = "ada", **more: Any) -> Order:
    report = Report(held.job_id, held.attempt, more.pop("token", held.token), **more)
    (answer,) = queue.heartbeat(store, worker, Heartbeat((report,)), LEASE).orders
    return answer.order


def expire(store: Store) -> list[JobStatus]:
    return [status for status, _ in queue.expire(store, LEASE)]


def test_a_claim_carries_the_whole_job(store: Store) -> None:
    held = claimed(store, input="https://h/in?sig=secret", labels={"title": "42"})
    assert held.job == Job(input="https://h/in?sig=secret", labels={"title": "42"})
    assert (held.attempt, held.lease_seconds) == (1, LEASE)
    status = jobs.show(store, held.job_id)
    assert (status.state, status.worker, status.attempt) == (State.RUNNING, "ada", 1)


def test_only_one_claim_gets_a_job(store: Store) -> None:
    job_id = submit(store)
    found: list[Claim | None] = []
    start = threading.Barrier(8)

    def race() -> None:
        start.wait()
        found.append(claim(store, job_id))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([held for held in found if held]) == 1
    assert jobs.show(store, job_id).attempt == 1


def test_a_worker_never_holds_more_than_it_may(store: Store) -> None:
    claimed(store), claimed(store)
    third = submit(store)
    assert claim(store, third) is None
    assert claim(store, third, "bob") is not None


def test_a_result_ends_the_job(store: Store, clock: Clock) -> None:
    held = claimed(store)
    clock.forward(3)
    status = finish(store, held)
    assert status is not None
    assert (status.state, status.usage) == (State.COMPLETED, DONE.usage)
    assert status.finished_at == jobs.timestamp(clock())
    assert status.worker == "ada"


def test_the_same_result_again_changes_nothing(store: Store, clock: Clock) -> None:
    held = claimed(store)
    first = finish(store, held)
    clock.forward(1)
    assert finish(store, held) is None
    assert jobs.show(store, held.job_id) == first


def test_the_same_result_again_after_a_requeue_changes_nothing(store: Store) -> None:
    held = claimed(store)
    first = finish(store, held, NETWORK)
    assert finish(store, held, NETWORK) is None
    assert jobs.show(store, held.job_id) == first


@pytest.mark.parametrize("outcome", [NETWORK, Outcome(State.FAILED, Reason.TIMEOUT)])
def test_another_result_for_an_ended_attempt_is_refused(store: Store, outcome: Outcome) -> None:
    held = claimed(store)
    finish(store, held)
    with pytest.raises(StaleAttempt):
        finish(store, held, outcome)
    assert jobs.show(store, held.job_id).state is State.COMPLETED


def test_a_wrong_token_does_nothing(store: Store) -> None:
    held = claimed(store)
    before = jobs.show(store, held.job_id)
    with pytest.raises(StaleAttempt):
        finish(store, held, token="x" * 32)
    with pytest.raises(StaleAttempt):
        logs.put(store, held.job_id, 1, "x" * 32, b"mine")
    assert beat(store, held, token="x" * 32, progress=Progress(percent=99)) is Order.LOST
    assert jobs.show(store, held.job_id) == before
    assert logs.read(store, held.job_id, None)[1] == b""


def test_a_heartbeat_extends_the_lease_and_shows_progress(store: Store, clock: Clock) -> None:
    held = claimed(store)
    clock.forward(LEASE - 1)
    assert beat(store, held, progress=Progress(percent=12.5)) is Order.CONTINUE
    clock.forward(LEASE - 1)
    assert expire(store) == []
    assert jobs.show(store, held.job_id).progress == Progress(percent=12.5)


def test_a_job_that_is_not_reported_keeps_its_lease_until_it_runs_out(
    store: Store, clock: Clock
) -> None:
    held = claimed(store)
    queue.heartbeat(store, "ada", Heartbeat(), LEASE)
    assert jobs.show(store, held.job_id).state is State.RUNNING
    clock.forward(LEASE + 1)
    assert [status.id for status in expire(store)] == [held.job_id]


def test_another_worker_cannot_speak_for_an_attempt(store: Store) -> None:
    assert beat(store, claimed(store), worker="bob") is Order.LOST


def test_an_unknown_worker_is_told_to_register(store: Store) -> None:
    with pytest.raises(NotFound, match="PUT /workers/eve"):
        queue.heartbeat(store, "eve", Heartbeat(), LEASE)


def test_a_lost_lease_gives_the_job_to_another(store: Store, clock: Clock) -> None:
    first = claimed(store)
    clock.forward(LEASE + 1)
    (status,) = expire(store)
    assert (status.state, status.reason) == (State.QUEUED, Reason.WORKER_LOST)
    assert status.worker is None
    (waiting,) = handing.waiting(store)
    assert waiting.avoid_worker == "ada"
    second = claim(store, first.job_id, "bob")
    assert second is not None
    assert second.attempt == 2
    assert second.token != first.token

    before = jobs.show(store, first.job_id)
    with pytest.raises(StaleAttempt):
        finish(store, first)
    with pytest.raises(StaleAttempt):
        logs.put(store, first.job_id, 1, first.token, b"late")
    assert beat(store, first, progress=Progress(percent=100)) is Order.LOST
    assert jobs.show(store, first.job_id) == before
    finish(store, second)
    assert jobs.show(store, first.job_id).state is State.COMPLETED


def test_attempts_run_out(store: Store, clock: Clock) -> None:
    held = claimed(store, max_attempts=1)
    clock.forward(LEASE + 1)
    (status,) = expire(store)
    assert (status.state, status.reason) == (State.FAILED, Reason.WORKER_LOST)
    assert "ada gave no sign of life for 61 s" in str(status.error)
    assert status.id == held.job_id


def test_a_job_that_kills_its_workers_says_so(store: Store, clock: Clock) -> None:
    job_id = submit(store, max_attempts=3)
    for worker in ("ada", "bob", "ada"):
        assert claim(store, job_id, worker) is not None
        clock.forward(LEASE + 1)
        (status,) = expire(store)
        clock.forward(600)
    assert status.state is State.FAILED
    words = "no sign of life for 61 s; 3 attempts ended so (ada, bob): the job may be the cause"
    assert str(status.error).endswith(words)


def test_a_retry_waits(store: Store, clock: Clock) -> None:
    held = claimed(store)
    status = finish(store, held, NETWORK)
    assert status is not None
    assert (status.state, status.reason) == (State.QUEUED, Reason.NETWORK_ERROR)
    assert list(handing.waiting(store)) == []
    clock.forward(5 * 1.25)
    assert [job.job_id for job in handing.waiting(store)] == [held.job_id]
    assert waiting.due(store, clock() - 5 * 1.25, clock()) == 1
    assert waiting.due(store, clock(), clock() + 1) == 0


def test_the_job_s_own_fault_is_final(store: Store) -> None:
    status = finish(store, claimed(store), Outcome(State.FAILED, Reason.INPUT_ERROR, "no media"))
    assert status is not None
    assert (status.state, status.error) == (State.FAILED, "no media")


def test_cancel_of_a_queued_job_ends_it(store: Store) -> None:
    job_id = submit(store)
    status, ended = queue.cancel(store, job_id)
    assert (status.state, status.reason, ended) == (State.CANCELED, Reason.CANCELED, True)
    assert claim(store, job_id) is None
    assert queue.cancel(store, job_id) == (status, False)


def test_cancel_of_a_running_job_asks_its_worker(store: Store) -> None:
    held = claimed(store)
    status, ended = queue.cancel(store, held.job_id)
    assert (status.state, status.cancel_requested, ended) == (State.RUNNING, True, False)
    assert beat(store, held) is Order.CANCEL
    told = finish(store, held, NETWORK)
    assert told is not None
    assert (told.state, told.reason) == (State.CANCELED, Reason.CANCELED)


def test_a_lease_that_runs_out_after_cancel_ends_as_canceled(store: Store, clock: Clock) -> None:
    held = claimed(store)
    queue.cancel(store, held.job_id)
    clock.forward(LEASE + 1)
    assert [status.state for status in expire(store)] == [State.CANCELED]


def test_what_ended_cannot_be_canceled(store: Store) -> None:
    held = claimed(store)
    finish(store, held)
    with pytest.raises(Conflict, match="completed"):
        queue.cancel(store, held.job_id)
    with pytest.raises(NotFound):
        queue.cancel(store, "aaaaaaaaaaaa")


def test_after_a_time_without_a_master_every_lease_has_its_full_length(
    store: Store, clock: Clock
) -> None:
    held = claimed(store)
    attendance.attend(store, 10, LEASE)
    clock.forward(3600)
    assert attendance.attend(store, 10, LEASE) == (3600, 1)
    assert expire(store) == []
    assert beat(store, held) is Order.CONTINUE


def test_where_another_master_was_there_no_lease_is_renewed(store: Store, clock: Clock) -> None:
    claimed(store)
    for _ in range(20):
        attendance.attend(store, 10, LEASE)
        clock.forward(LEASE / 19)
    # The last note may be a little old, as it is here; that is no absence.
    assert attendance.attend(store, 10, LEASE)[1] == 0
    assert len(expire(store)) == 1


def test_the_order_of_handing_out(store: Store) -> None:
    ids: dict[int, list[str]] = {}
    for rank in (8, 0, 4, 4):
        submission = intake.Submission(Job(), Needs(), rank, "d")
        ids.setdefault(rank, []).append(intake.submit(store, submission)[0].id)
    assert [job.job_id for job in handing.waiting(store)] == ids[0] + ids[4] + ids[8]


def test_looking_far_down_the_queue_sees_each_job_once(store: Store) -> None:
    ids = [submit(store) for _ in range(100)]  # more than are fetched at first
    assert [job.job_id for job in handing.waiting(store)] == ids


def test_logs_are_kept_per_attempt(store: Store, clock: Clock) -> None:
    first = claimed(store)
    logs.put(store, first.job_id, 1, first.token, b"one")
    finish(store, first, NETWORK)
    logs.put(store, first.job_id, 1, first.token, b"one, complete")
    clock.forward(10)
    second = claim(store, first.job_id)
    assert second is not None
    logs.put(store, first.job_id, 2, second.token, b"two")
    assert logs.read(store, first.job_id, None)[1] == b"two"
    assert logs.read(store, first.job_id, 1)[1] == b"one, complete"
    with pytest.raises(NotFound, match="no attempt 3"):
        logs.read(store, first.job_id, 3)


def test_ended_jobs_are_forgotten_in_small_steps(store: Store, clock: Clock) -> None:
    ended = [claimed(store) for _ in range(2)]
    for held in ended:
        logs.put(store, held.job_id, 1, held.token, b"log")
        finish(store, held)
    live = submit(store, labels={"keep": "me"})
    clock.forward(100)
    assert [queue.forget(store, clock() - 50, most=1) for _ in range(3)] == [1, 1, 0]
    assert jobs.show(store, live).id == live
    with pytest.raises(NotFound):
        jobs.show(store, ended[0].job_id)


def test_a_silent_worker_is_offline_and_then_forgotten(store: Store, clock: Clock) -> None:
    clock.forward(30)
    queue.heartbeat(store, "ada", Heartbeat(draining=True), LEASE)
    clock.forward(40)
    fleet = {member.name: member for member in workers.fleet(store, online_seconds=60)}
    assert (fleet["ada"].online, fleet["ada"].draining) == (True, True)
    assert fleet["bob"].online is False
    assert workers.forget(store, clock() - 60) == ["bob"]
