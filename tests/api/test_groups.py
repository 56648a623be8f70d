"""Groups of jobs: one progress, one cancel, with the real client."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import Heartbeat, Outcome, Progress, Reason, Report, Role, State
from ffmpeg_jobs.problems import NotFound
from tests.api.conftest import INSIDE, JOB, MACHINE, Inside, add_key
from tests.conftest import ENGINES

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)

NIGHT = JOB | {"group": "night"}


def test_a_group_has_one_progress(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    client.submit_batch([NIGHT, NIGHT, NIGHT, NIGHT, JOB])
    assert client.group("night").percent == 0
    claims = [client.claim("ada", 0) for _ in range(3)]
    first, second, third = (claim for claim in claims if claim)
    client.finish(first.job_id, 1, first.token, Outcome(State.COMPLETED))
    client.finish(second.job_id, 1, second.token, Outcome(State.FAILED, Reason.INPUT_ERROR, "x"))
    report = Report(third.job_id, 1, third.token, Progress(percent=50.0))
    client.heartbeat("ada", Heartbeat((report,)))
    group = client.group("night")
    assert (group.name, group.jobs, group.percent) == ("night", 4, 62.5)
    counts = {state: count for state, count in group.states.items() if count}
    assert counts == {"queued": 1, "running": 1, "completed": 1, "failed": 1}
    assert len(list(client.jobs(group="night"))) == 4
    assert [job.id for job in client.jobs(group="night", state="running")] == [third.job_id]
    assert client.job(third.job_id).job.group == "night"


def test_a_group_is_canceled_and_nothing_else(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    held = client.submit(NIGHT | {"queue": "live"})  # the most urgent, and the oldest too
    beside = client.submit(JOB)
    rows = client.submit_batch([NIGHT | {"depends_on": ["#0"]} if n else NIGHT for n in range(150)])
    claim = client.claim("ada", 0)
    assert claim is not None and claim.job_id == held.id
    group = client.cancel_group("night")
    assert {state: n for state, n in group.states.items() if n} == {"running": 1, "canceled": 150}
    assert client.job(held.id).cancel_requested
    assert client.job(beside.id).state is State.QUEUED
    # Not failed for what it waited for: it was canceled first.
    assert client.job(rows[149].id).state is State.CANCELED
    assert client.cancel_group("night") == group


def test_a_group_is_its_tenants(inside: Inside) -> None:
    secret = add_key(inside.master, "eve", Role.SUBMIT, tenant="eve")
    eve = MasterClient(Endpoint(INSIDE, secret), inside.session())
    ours = inside.client(Role.SUBMIT)
    ours.submit(NIGHT)
    for ask in (eve.group, eve.cancel_group):
        with pytest.raises(NotFound, match="there is no job of a group night"):
            ask("night")
    theirs = eve.submit(NIGHT)
    assert eve.cancel_group("night").jobs == 1
    assert eve.job(theirs.id).state is State.CANCELED
    assert ours.group("night").states["queued"] == 1
    assert inside.client().group("night").jobs == 2


@pytest.mark.parametrize("name", ["", "a b", "x" * 64, "-x", 7])
def test_a_group_has_a_plain_name(inside: Inside, name: object) -> None:
    answer = inside.call("POST", "/jobs", json=JOB | {"group": name})
    assert answer.status_code == 422
    assert "group: " in answer.json()["detail"]
    assert "a group's name: letters, digits" in answer.json()["detail"]
