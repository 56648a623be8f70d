"""What is refused of outputs when a job is submitted, and what a worker says of them."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.model import Outcome, Reason, Role, State
from ffmpeg_jobs.problems import Conflict
from tests.api.conftest import JOB, MACHINE, Inside

FILM = JOB | {"output": "/srv/film.mp4"}


def test_an_output_that_another_job_is_to_write(inside: Inside) -> None:
    client = inside.client(Role.SUBMIT)
    first = client.submit(FILM)
    answer = inside.call("POST", "/jobs", json=FILM)
    assert answer.status_code == 409
    problem = answer.json()
    assert (problem["type"], problem["job"]) == ("urn:ffmpeg-worker:problem:conflict", first.id)
    assert problem["detail"].startswith(f"output: job {first.id} writes there, too")
    assert client.submit(FILM | {"overwrite": True}).job.overwrite is True
    client.cancel(first.id)
    with pytest.raises(Conflict):
        client.submit(FILM)


@pytest.mark.parametrize("place", ["/srv/./film.mp4", "/srv/film.mp4"])
def test_an_output_that_is_the_input(inside: Inside, place: str) -> None:
    job = {"input": "/srv/film.mp4", "output": place, "overwrite": True}
    answer = inside.call("POST", "/jobs", json=job)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "output"


@pytest.mark.parametrize(("final", "state"), [(True, "failed"), (None, "queued")])
def test_another_worker_tries_what_another_machine_can_mend(
    inside: Inside, final: bool | None, state: str
) -> None:
    client = inside.client()
    job = client.submit(FILM)
    after = client.submit(JOB | {"depends_on": [job.id]})
    client.register("ada", MACHINE)
    claim = client.claim("ada", 0)
    assert claim is not None
    outcome = Outcome(State.FAILED, Reason.OUTPUT_ERROR, "it is there already", final=final)
    client.finish(claim.job_id, claim.attempt, claim.token, outcome)
    shown = client.job(job.id)
    assert (shown.state.value, shown.reason, shown.enforced) == (state, Reason.OUTPUT_ERROR, None)
    if state == "queued":
        assert client.job(after.id).waiting_for == f"job {job.id}"
