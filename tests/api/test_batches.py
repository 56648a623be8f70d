"""Many jobs in one request: all of them or none, with the real client."""

from __future__ import annotations

from typing import Any

import pytest

from ffmpeg_jobs.contract import BATCH_MAX_JOBS
from ffmpeg_jobs.model import Role, State
from tests.api.conftest import JOB, MACHINE, Inside
from tests.conftest import ENGINES

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)

LIVE = JOB | {"queue": "live"}


def test_a_batch_is_accepted_in_its_order(inside: Inside) -> None:
    answer = inside.call("POST", "/jobs/batch", json={"jobs": [JOB, LIVE, JOB]})
    assert answer.status_code == 201
    rows = answer.json()
    assert [row["job"]["queue"] for row in rows] == ["default", "live", "default"]
    listed = [status.id for status in inside.client().jobs()]
    assert listed == [row["id"] for row in reversed(rows)]
    assert len(list(inside.client().jobs(label="title=42"))) == 3


def test_its_jobs_are_handed_out(inside: Inside) -> None:
    inside.call("POST", "/jobs/batch", json={"jobs": [JOB, LIVE]})
    worker = inside.client(Role.WORKER)
    worker.register("ada", MACHINE)
    claims = [worker.claim("ada", 0.0) for _ in range(2)]
    # Live jobs mostly go first: now and then who waits longest does.
    assert {claim.job.queue.value for claim in claims if claim} == {"live", "default"}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"input": ""}, "jobs[1].input"),
        ({"parameters": {"duration": 5, "crf": 99}}, "jobs[1].parameters.crf"),
        ({"inptu": "/a"}, "jobs[1].inptu"),
        ({"parameters": {}}, "jobs[1].parameters.duration"),
    ],
)
def test_one_wrong_job_refuses_all_and_is_named(
    inside: Inside, wrong: dict[str, object], field: str
) -> None:
    answer = inside.call("POST", "/jobs/batch", json={"jobs": [JOB, JOB | wrong, JOB]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert answer.json()["detail"].startswith(f"{field}: ")
    assert list(inside.client().jobs()) == []


@pytest.mark.parametrize("count", [0, BATCH_MAX_JOBS + 1])
def test_a_batch_has_a_size(inside: Inside, count: int) -> None:
    answer = inside.call("POST", "/jobs/batch", json={"jobs": [JOB] * count})
    assert answer.status_code == 422
    assert f"a list of 1 to {BATCH_MAX_JOBS} jobs" in answer.json()["detail"]


def test_the_largest_batch_is_accepted(inside: Inside) -> None:
    answer = inside.call("POST", "/jobs/batch", json={"jobs": [JOB] * BATCH_MAX_JOBS})
    assert answer.status_code == 201
    assert len({row["id"] for row in answer.json()}) == BATCH_MAX_JOBS


def test_a_repeated_batch_is_the_same_jobs(inside: Inside) -> None:
    again: dict[str, Any] = {"json": {"jobs": [JOB, JOB]}, "headers": {"Idempotency-Key": "key-1"}}
    first = inside.call("POST", "/jobs/batch", **again)
    assert inside.call("POST", "/jobs/batch", **again).json() == first.json()
    assert len(list(inside.client().jobs())) == 2


@pytest.mark.parametrize("other", [[LIVE, JOB], [JOB], [JOB, JOB, JOB]])
def test_another_batch_with_the_same_key_is_refused(
    inside: Inside, other: list[dict[str, object]]
) -> None:
    client = inside.client()
    client.submit_batch([JOB, JOB], "key-1")
    headers = {"Idempotency-Key": "key-1"}
    answer = inside.call("POST", "/jobs/batch", json={"jobs": other}, headers=headers)
    assert answer.status_code == 409
    assert len(list(client.jobs())) == 2


def test_a_job_and_a_batch_may_have_the_same_key(inside: Inside) -> None:
    client = inside.client()
    alone = client.submit(JOB, "key-1")
    batch = client.submit_batch([JOB], "key-1")
    assert [status.state for status in batch] == [State.QUEUED]
    assert batch[0].id != alone.id
