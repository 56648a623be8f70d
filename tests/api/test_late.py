"""A worker was silent for too long, and is back: what it made counts until others make it."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.model import Outcome, Result, State
from ffmpeg_jobs.problems import StaleAttempt
from tests.api.conftest import JOB, MACHINE, Inside
from tests.conftest import ENGINES

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)

DONE = Outcome(State.COMPLETED)


def test_a_late_result_is_heard_until_somebody_claims(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    job_id = client.submit(JOB | {"max_attempts": 1}).id
    waits = client.submit(JOB | {"depends_on": [job_id]}).id
    held = client.claim("ada", 0)
    assert held is not None
    log = inside.call(
        "PUT",
        f"/jobs/{job_id}/attempts/1/log?publishing=true",
        data=b"log",
        headers={"Attempt-Token": held.token, "Content-Type": "text/plain"},
    )
    assert log.status_code == 204
    silent(inside, 5 * 60 - 1)
    assert client.job(job_id).state is State.RUNNING
    silent(inside, 5)
    assert (client.job(job_id).state, client.job(waits).state) == (State.FAILED, State.FAILED)
    with pytest.raises(StaleAttempt):
        client.put_log(job_id, 1, held.token, b"log", publishing=True)
    given = client.claims("ada", 0, results=(Result(job_id, 1, held.token, DONE),))
    assert (given.claims, given.refused) == ((), ())
    assert client.job(job_id).state is State.COMPLETED
    assert client.retry(waits).state is State.QUEUED  # what it waited for is there
    assert client.claim("ada", 0) is not None


def silent(inside: Inside, seconds: int) -> None:
    """No worker says anything for so long; the master is there."""
    for _ in range(0, seconds, 5):
        inside.clock.forward(5)
        inside.housekeeping.round()
