"""Jobs that may start only after, or only before, a time."""

from __future__ import annotations

from ffmpeg_jobs.model import Job, Reason, State
from ffmpeg_master.model import Needs
from ffmpeg_master.store import intake, jobs, queue
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.retry import retry
from tests import handing
from tests.store.conftest import Clock


def submit(store: Store, job: Job) -> str:
    return intake.submit(store, intake.Submission(job, Needs(), 4, "digest"))[0].id


def claim(store: Store, job_id: str) -> bool:
    return handing.claim(store, job_id, "ada", most=2, lease_seconds=60) is not None


def test_a_job_waits_for_its_time(store: Store, clock: Clock) -> None:
    job_id = submit(store, Job(not_before=jobs.timestamp(clock() + 60)))
    assert list(handing.waiting(store)) == []
    assert not claim(store, job_id)
    clock.forward(60)
    assert [job.job_id for job in handing.waiting(store)] == [job_id]
    assert claim(store, job_id)


def test_what_may_no_longer_start_ends_failed(store: Store, clock: Clock) -> None:
    late, running = (submit(store, Job(deadline=jobs.timestamp(clock() + 60))) for _ in range(2))
    assert claim(store, running)
    assert queue.overdue(store) == []
    clock.forward(61)
    assert not claim(store, late)
    (status,) = queue.overdue(store)
    assert (status.id, status.state, status.reason) == (late, State.FAILED, Reason.DEADLINE_PASSED)
    assert queue.overdue(store) == []
    assert jobs.show(store, running).state is State.RUNNING


def test_a_retry_waits_for_the_job_s_time(store: Store, clock: Clock) -> None:
    job_id = submit(store, Job(not_before=jobs.timestamp(clock() + 60)))
    queue.cancel(store, job_id)
    retry(store, job_id)
    assert not claim(store, job_id)
    clock.forward(61)
    queue.cancel(store, job_id)
    retry(store, job_id)
    assert claim(store, job_id)
