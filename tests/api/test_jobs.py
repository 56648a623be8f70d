"""Submit, list, show, cancel and read logs, with the real client."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ffmpeg_jobs.model import Job, Limits, Outcome, Parameters, Queue, Reason, Role, State
from ffmpeg_jobs.problems import Conflict, NotFound
from tests.api.conftest import JOB, MACHINE, Inside
from tests.conftest import ENGINES

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)


def test_a_job_is_accepted_and_shown(inside: Inside) -> None:
    client = inside.client(Role.SUBMIT)
    status = client.submit(JOB | {"queue": "live", "resource_limits": {"max_cpu_percent": 50}})
    assert status.state is State.QUEUED
    assert status.job == Job(
        parameters=Parameters(duration=5.0),
        resource_limits=Limits(max_cpu_percent=50),
        queue=Queue.LIVE,
        labels={"title": "42"},
    )
    waits = replace(status, waiting_for="a worker: none is online that takes jobs")
    assert client.job(status.id) == waits
    assert list(client.jobs()) == [status]


def test_the_answer_says_where_the_job_is(inside: Inside) -> None:
    answer = inside.call("POST", "/jobs", json=JOB)
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/jobs/{answer.json()['id']}"


def test_lists_are_arrays_newest_first_and_paged(inside: Inside) -> None:
    client = inside.client()
    ids = [client.submit(JOB).id for _ in range(5)]
    first = inside.call("GET", "/jobs?limit=2&status=queued")
    assert [row["id"] for row in first.json()] == ids[:2:-1]
    following = first.links["next"]["url"]
    assert following.startswith("/jobs?")
    assert "status=queued" in following
    second = inside.call("GET", following)
    assert [row["id"] for row in second.json()] == ids[2:0:-1]
    last = inside.call("GET", second.links["next"]["url"])
    assert [row["id"] for row in last.json()] == ids[:1]
    assert "next" not in last.links


def test_the_client_follows_all_pages(inside: Inside) -> None:
    client = inside.client()
    ids = [client.submit(JOB).id for _ in range(120)]
    assert [status.id for status in client.jobs()] == ids[::-1]
    assert [status.id for status in client.jobs(limit=3)] == ids[:-4:-1]


def test_lists_are_filtered(inside: Inside) -> None:
    client = inside.client()
    red = client.submit(JOB | {"labels": {"title": "red"}, "queue": "batch"})
    client.submit(JOB)
    assert [status.id for status in client.jobs(label="title=red")] == [red.id]
    assert [status.id for status in client.jobs(queue="batch")] == [red.id]
    assert list(client.jobs(state="running")) == []
    assert list(client.jobs(worker="ada")) == []


def test_a_repeated_submit_is_the_same_job(inside: Inside) -> None:
    client = inside.client()
    first = client.submit(JOB, "key-1")
    assert client.submit(JOB, "key-1") == first
    with pytest.raises(Conflict, match=f"job {first.id} came with this key"):
        client.submit(JOB | {"queue": "live"}, "key-1")
    assert len(list(client.jobs())) == 1


def test_cancel(inside: Inside) -> None:
    client = inside.client()
    job_id = client.submit(JOB).id
    assert client.cancel(job_id).state is State.CANCELED
    assert client.cancel(job_id).state is State.CANCELED


def test_what_ended_cannot_be_canceled(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    client.submit(JOB)
    held = client.claim("ada", 0)
    assert held is not None
    client.finish(held.job_id, 1, held.token, Outcome(State.COMPLETED))
    with pytest.raises(Conflict, match="is completed"):
        client.cancel(held.job_id)


def test_a_failed_job_is_queued_again_with_all_its_tries(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    job_id = client.submit(JOB | {"max_attempts": 1}).id
    claim = client.claim("ada", 1)
    assert claim is not None
    with pytest.raises(Conflict, match="is running; only one that failed or was canceled"):
        client.retry(job_id)
    lost = Outcome(State.FAILED, Reason.NETWORK_ERROR, "the server broke off")
    client.finish(job_id, 1, claim.token, lost)
    assert client.job(job_id).state is State.FAILED
    again = client.retry(job_id)
    assert (again.state, again.attempt, again.max_attempts) == (State.QUEUED, 1, 2)
    assert (again.error, again.finished_at) == (None, None)
    with pytest.raises(Conflict, match="is queued"):
        client.retry(job_id)
    second = client.claim("ada", 1)
    assert second is not None and second.attempt == 2
    client.finish(job_id, 2, second.token, Outcome(State.COMPLETED))
    with pytest.raises(Conflict, match="is completed"):
        client.retry(job_id)


def test_a_job_past_its_deadline_is_not_queued_again(inside: Inside) -> None:
    client = inside.client()
    soon = datetime.fromtimestamp(inside.clock() + 60, UTC).isoformat()
    job_id = client.submit(JOB | {"deadline": soon}).id
    client.cancel(job_id)
    inside.clock.forward(61)
    with pytest.raises(Conflict, match=r"it was to start before .*; submit it anew"):
        client.retry(job_id)


def test_logs(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    job_id = client.submit(JOB | {"input": "https://h/in.mp4?signature=s3cr3t-s3cr3t"}).id
    with pytest.raises(NotFound, match="has no attempt 0"):
        client.log(job_id)
    held = client.claim("ada", 0)
    assert held is not None
    assert client.log(job_id) == ""
    text = "Opening https://h/in.mp4?signature=s3cr3t-s3cr3t\nerror: ü \udcff\n"
    client.put_log(job_id, 1, held.token, text.encode("utf-8", "surrogateescape"))
    assert client.log(job_id, 1) == "Opening https://h/in.mp4?…\nerror: ü \ufffd\n"


def test_only_the_worker_sees_what_urls_keep_secret(inside: Inside) -> None:
    client = inside.client()
    places = {
        "input": "https://ann:passw0rd@media.example/in.mp4",
        "output": "https://bucket.example/out.mp4?X-Signature=abcdef0123",
    }
    answer = inside.call("POST", "/jobs", json=JOB | places)
    job_id = answer.json()["id"]
    shown = [answer, inside.call("GET", "/jobs"), inside.call("GET", f"/jobs/{job_id}")]
    client.register("ada", MACHINE)
    held = client.claim("ada", 0)
    shown.append(inside.call("POST", f"/jobs/{job_id}/cancel"))
    for view in shown:
        assert "passw0rd" not in view.text
        assert "abcdef0123" not in view.text
    assert held is not None
    assert (held.job.input, held.job.output) == (places["input"], places["output"])


def test_jobs_of_a_time(inside: Inside) -> None:
    client = inside.client()
    ids, times = [], []
    for _ in range(4):
        ids.append(client.submit(JOB).id)
        times.append(client.job(ids[-1]).created_at)
        inside.clock.forward(60)
    assert [job.id for job in client.jobs(since=times[1], until=times[3])] == [ids[2], ids[1]]
    assert [job.id for job in client.jobs(since=times[3])] == [ids[3]]
    assert [job.id for job in client.jobs(until=times[1])] == [ids[0]]
    assert [job.id for job in client.jobs(1, since=times[0], until=times[2])] == [ids[1]]
    refused = inside.call("GET", "/jobs?since=2027-02-31T00:00:00Z")
    assert refused.status_code == 422
    assert "since" in refused.json()["detail"]
