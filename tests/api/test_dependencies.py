"""Jobs that wait for other jobs, with the real client."""

from __future__ import annotations

from typing import Any

import pytest

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.contract import DEPENDS_ON_MAX
from ffmpeg_jobs.model import Claim, Outcome, Reason, Role, State
from ffmpeg_master.store import dependencies
from tests.api.conftest import JOB, MACHINE, Inside, add_key, in_thread, until
from tests.conftest import ENGINES

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)

DONE = Outcome(State.COMPLETED)
BROKEN = Outcome(State.FAILED, Reason.INPUT_ERROR, "no such file")
STRANGER = "aaaaaaaaaaaa"


def after(*ids: str) -> dict[str, Any]:
    return JOB | {"depends_on": list(ids)}


def end(client: MasterClient, claim: Claim | None, outcome: Outcome) -> None:
    assert claim is not None
    client.finish(claim.job_id, claim.attempt, claim.token, outcome)


def test_a_job_starts_when_all_it_depends_on_completed(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    first, second = client.submit(JOB).id, client.submit(JOB).id
    last = client.submit(after(first, second))
    assert last.job.depends_on == (first, second)
    waits = client.job(last.id).waiting_for
    assert waits == f"jobs {', '.join(sorted((first, second)))}"
    assert client.job(first).awaited
    end(client, client.claim("ada", 0), DONE)
    assert client.job(last.id).waiting_for == f"job {second}"
    running = client.claim("ada", 0)
    assert client.claim("ada", 0) is None
    end(client, running, DONE)
    claim = client.claim("ada", 0)
    assert claim is not None and claim.job_id == last.id


def test_a_waiting_claim_gets_it_at_once(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    client.register("bob", MACHINE)
    first = client.submit(JOB).id
    claim = client.claim("ada", 0)
    last = client.submit(after(first)).id
    thread, got = in_thread(lambda: inside.client().claim("bob", 20))
    until(lambda: len(inside.master.wakeup))
    end(client, claim, DONE)
    thread.join(10)  # the clock stands still: no round of the housekeeping's offers it
    assert [held.job_id for held in got] == [last]


@pytest.mark.parametrize("how", ["fails", "is canceled", "passes its deadline"])
def test_a_job_ends_with_what_it_depends_on(inside: Inside, how: str) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    first = client.submit(JOB | {"deadline": "2023-11-14T22:14:20Z"}).id
    last = client.submit(after(client.submit(after(first)).id)).id
    if how == "fails":
        end(client, client.claim("ada", 0), BROKEN)
    elif how == "is canceled":
        client.cancel(first)
    else:
        inside.clock.forward(100)
        inside.housekeeping.round()
    status = client.job(last)
    assert (status.state, status.reason) == (State.FAILED, Reason.DEPENDENCY_FAILED)
    assert status.error is not None and f"because job {first} " in status.error
    counted = 'jobs_failures_by_reason_total{reason="dependency_failed"} 2.0'
    assert counted in inside.call("GET", "/metrics").text


def test_what_a_dead_master_left_is_done_by_the_next_round(inside: Inside) -> None:
    client = inside.client()
    first = client.submit(JOB).id
    last = client.submit(after(first)).id
    with inside.master.store.write() as connection:
        connection.exec_driver_sql(
            f"UPDATE jobs SET state = 'canceled', finished_at = 1 WHERE id = '{first}'"
        )
    inside.housekeeping.round()
    assert client.job(last).state is State.FAILED


def test_retry_starts_the_chain_again_from_its_head(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    first = client.submit(JOB).id
    last = client.submit(after(first)).id
    end(client, client.claim("ada", 0), BROKEN)
    refused = inside.call("POST", f"/jobs/{last}/retry")
    assert refused.status_code == 409
    assert f"job {first}, which it depends on, is failed" in refused.json()["detail"]
    client.retry(first)
    assert client.job(last).state is State.FAILED
    assert client.retry(last).state is State.QUEUED
    assert client.job(last).waiting_for == f"job {first}"
    end(client, client.claim("ada", 0), DONE)
    end(client, client.claim("ada", 0), DONE)
    assert client.job(last).state is State.COMPLETED


def test_a_batch_refers_to_its_own_jobs(inside: Inside) -> None:
    client = inside.client()
    rows = client.submit_batch([JOB, after("#0"), after("#0", "#1")], "key-1")
    assert rows[2].job.depends_on == (rows[0].id, rows[1].id)
    assert client.submit_batch([JOB, after("#0"), after("#0", "#1")], "key-1") == rows
    client.cancel(rows[0].id)
    assert [job.state.value for job in client.jobs()] == ["failed", "failed", "canceled"]


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ([STRANGER], "depends_on[0]", f"there is no job {STRANGER}; allowed is the id of a job"),
        (["#0"], "depends_on[0]", '"#0" is not allowed; allowed is the id of a job'),
        (["KEY"], "depends_on[0]", '"KEY" is not allowed; allowed is the id of a job'),
        ("x", "depends_on", f"allowed is a list of at most {DEPENDS_ON_MAX} different jobs"),
        ([STRANGER] * 2, "depends_on", f"a list of at most {DEPENDS_ON_MAX} different jobs"),
        (
            [f"aaaaaaaaaa{a}{b}" for a in "abcdef" for b in "abcdef"][: DEPENDS_ON_MAX + 1],
            "depends_on",
            f"a list of at most {DEPENDS_ON_MAX} different jobs",
        ),
    ],
)
def test_what_cannot_be_depended_on(inside: Inside, wrong: object, field: str, words: str) -> None:
    answer = inside.call("POST", "/jobs", json=JOB | {"depends_on": wrong})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert words in answer.json()["detail"]
    batch = inside.call("POST", "/jobs/batch", json={"jobs": [JOB | {"depends_on": wrong}]})
    assert (batch.status_code, batch.json()["errors"][0]["field"]) == (422, f"jobs[0].{field}")
    assert list(inside.client().jobs()) == []


def test_a_batch_refers_only_to_what_stands_before(inside: Inside) -> None:
    answer = inside.call("POST", "/jobs/batch", json={"jobs": [JOB, after("#1")]})
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        'jobs[1].depends_on[0]: "#1" is not allowed; allowed is the id of a job, or of its '
        'batch "#0" to "#0", who stand before it'
    )


def test_what_did_not_complete_is_refused(inside: Inside) -> None:
    client = inside.client()
    job_id = client.submit(JOB).id
    client.cancel(job_id)
    answer = inside.call("POST", "/jobs", json=after(job_id))
    assert answer.status_code == 422
    assert f"depends_on[0]: job {job_id} is canceled; allowed is" in answer.json()["detail"]


def test_another_tenants_job_is_not_there(inside: Inside) -> None:
    mine = inside.client(Role.SUBMIT).submit(JOB).id
    secret = add_key(inside.master, "eve", Role.SUBMIT, tenant="eve")
    headers = {"Authorization": f"Bearer {secret}"}
    answer = inside.call("POST", "/jobs", None, json=after(mine), headers=headers)
    assert answer.status_code == 422
    assert f"there is no job {mine}" in answer.json()["detail"]
    assert dependencies.settle(inside.master.store).steps == 0
    assert not inside.client().job(mine).awaited
