"""One output, one writer: whoever comes second waits for it, says so, or is refused."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from ffmpeg_jobs.model import Job, JobStatus, State
from ffmpeg_jobs.problems import Conflict, InvalidField
from ffmpeg_master.model import Needs
from ffmpeg_master.store import intake, queue
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.retry import retry
from ffmpeg_master.store.troubles import Collision

FILM = Job(output="/srv/film.mp4")


def submission(job: Job, tenant: str = "default", place: int | None = None) -> intake.Submission:
    return intake.Submission(job, Needs(), 4, "d", tenant=tenant, place=place)


def submit(store: Store, job: Job = FILM, tenant: str = "default") -> JobStatus:
    return intake.submit(store, submission(job, tenant))[0]


def refused(store: Store, job: Job = FILM) -> str:
    with pytest.raises(Conflict, match=r"^output: job [a-z2-7]{12} writes there, too") as refusal:
        submit(store, job)
    return str(refusal.value.members["job"])


@pytest.mark.parametrize("other", ["/srv/film.mp4", "//srv/./a/../film.mp4"])
def test_the_second_is_refused_with_the_first_one_s_id(store: Store, other: str) -> None:
    first = submit(store)
    assert refused(store, Job(output=other)) == first.id


def test_urls_are_outputs_too(store: Store) -> None:
    first = submit(store, Job(output="https://s3.example/a?X-Amz-Signature=1"))
    again = Job(output="https://s3.example:443/a?X-Amz-Signature=2")
    assert refused(store, again) == first.id


def test_jobs_without_an_output_meet_nobody(store: Store) -> None:
    assert submit(store, Job()).id != submit(store, Job()).id


def test_another_tenant_s_job_is_as_if_it_were_not_there(store: Store) -> None:
    submit(store)
    assert submit(store, tenant="studio").state is State.QUEUED


def test_who_says_overwrite_comes_second_and_a_third_does_not(store: Store) -> None:
    first = submit(store)
    submit(store, replace(FILM, overwrite=True))
    assert refused(store) == first.id


def test_the_first_may_say_overwrite(store: Store) -> None:
    first = submit(store, replace(FILM, overwrite=True))
    assert refused(store) == first.id


def test_who_waits_for_it_comes_second_and_so_on(store: Store) -> None:
    first = submit(store)
    second = submit(store, replace(FILM, depends_on=(first.id,)))
    assert refused(store, replace(FILM, depends_on=(first.id,))) == second.id
    between = submit(store, Job(depends_on=(second.id,)))
    third = submit(store, replace(FILM, depends_on=(between.id,)))
    assert third.state is State.QUEUED


def test_who_ended_is_in_nobody_s_way(store: Store) -> None:
    first = submit(store)
    queue.cancel(store, first.id)
    second = submit(store)
    with pytest.raises(Conflict, match=second.id):
        retry(store, first.id)
    queue.cancel(store, second.id)
    assert retry(store, first.id).state is State.QUEUED
    assert refused(store) == first.id


def test_in_a_batch_the_places_are_named(store: Store) -> None:
    def batch(second: Job) -> list[intake.Submission]:
        return [submission(FILM, place=0), submission(second, place=1)]

    with pytest.raises(InvalidField, match=r"^jobs\[1\]\.output: .*jobs\[0\] writes there, too"):
        intake.submit_batch(store, batch(FILM))
    accepted, _ = intake.submit_batch(store, batch(replace(FILM, depends_on=("#0",))))
    assert len(accepted) == 2
    with pytest.raises(Conflict, match=rf"^jobs\[0\]\.output: job {accepted[0].id}"):
        intake.submit_batch(store, batch(replace(FILM, overwrite=True)))


def test_of_many_that_come_at_once_one_gets_in(store: Store) -> None:
    accepted, refusals = list[JobStatus](), list[Conflict]()
    gate = threading.Barrier(6)

    def come() -> None:
        gate.wait()
        while True:
            try:
                accepted.append(submit(store))
            except Collision:  # as the API does: again
                continue
            except Conflict as refusal:
                refusals.append(refusal)
            return

    threads = [threading.Thread(target=come) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(accepted), len(refusals)) == (1, 5)
