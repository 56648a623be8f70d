"""A worker that somebody set aside gets no new jobs."""

from __future__ import annotations

from ffmpeg_jobs.model import Role
from tests.api.conftest import JOB, MACHINE, Inside


def test_a_cordoned_worker_gets_nothing_until_it_is_uncordoned(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    client.submit(JOB)
    assert inside.call("POST", "/workers/ada/cordon").status_code == 204
    client.register("ada", MACHINE)  # a restart changes nothing about it
    (worker,) = client.workers()
    assert worker.cordoned
    assert client.claim("ada", 0) is None
    assert inside.call("POST", "/workers/ada/uncordon").status_code == 204
    assert client.claim("ada", 0) is not None


def test_only_who_may_sets_workers_aside(inside: Inside) -> None:
    assert inside.call("POST", "/workers/bob/cordon").status_code == 404
    assert inside.call("POST", "/workers/bob/cordon", role=Role.WORKER).status_code == 403
    assert inside.call("POST", "/workers/bob/cordon", role=Role.SUBMIT).status_code == 403
