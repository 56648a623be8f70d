"""Limits, pause and resume over HTTP, with a worker that the test plays."""

from __future__ import annotations

from typing import Any

import pytest

from ffmpeg_jobs.model import Claim, Heartbeat, Report, Role, State, Terms
from ffmpeg_jobs.problems import Conflict
from tests.api.conftest import JOB, MACHINE, Inside, Launch, Outside


def claimed(farm: Inside | Outside) -> Claim:
    worker = farm.client(Role.WORKER)
    worker.register("ada", MACHINE)
    limits = {"max_cpu_percent": 50, "max_memory_mb": 256}
    farm.client(Role.SUBMIT).submit(JOB | {"resource_limits": limits})
    claim = worker.claim("ada", 5)
    assert claim is not None
    return claim


def beat(farm: Inside | Outside, held: Claim, in_force: Terms, unmet: str | None = None) -> Terms:
    report = Report(held.job_id, held.attempt, held.token, in_force=in_force, unmet=unmet)
    answer = farm.client(Role.WORKER).heartbeat("ada", Heartbeat((report,)))
    wanted = answer.orders[0].wanted
    assert wanted is not None
    return wanted


def test_a_wish_goes_to_the_worker_and_its_word_comes_back(launch: Launch) -> None:
    outside = launch().ready()
    held = claimed(outside)
    user = outside.client(Role.SUBMIT)
    asked = user.set_limits(held.job_id, {"max_cpu_percent": 75, "max_memory_mb": 300})
    assert (asked.job.resource_limits.max_cpu_percent, asked.in_force) == (75, None)
    assert user.pause(held.job_id).state is State.RUNNING
    assert user.pause(held.job_id).pause_requested
    wanted = beat(outside, held, Terms(False, 50, 256))
    assert wanted == Terms(True, 75, 300)
    assert user.job(held.job_id).in_force == Terms(False, 50, 256)
    beat(outside, held, wanted)
    shown = user.job(held.job_id)
    assert (shown.state, shown.in_force) == (State.PAUSED, wanted)
    assert user.resume(held.job_id).state is State.PAUSED
    assert beat(outside, held, wanted) == Terms(False, 75, 300)
    beat(outside, held, Terms(False, 75, 300))
    assert user.job(held.job_id).state is State.RUNNING
    for event in ("job_limits_changed", "job_pause_changed"):
        assert f"event={event}" in outside.log


def test_wishes_outlive_the_master(launch: Launch) -> None:
    outside = launch().ready()
    held = claimed(outside)
    outside.client().pause(held.job_id)
    outside.kill()
    again = launch().ready()
    assert beat(again, held, Terms(False, 50, 256)).paused
    again.client().cancel(held.job_id)


def test_why_a_wish_is_not_met_is_shown(inside: Inside) -> None:
    held = claimed(inside)
    beat(inside, held, Terms(False, 50, 256), "over the cap")
    shown = inside.call("GET", f"/jobs/{held.job_id}", Role.READ).json()
    assert shown["unmet"] == "over the cap"
    assert shown["in_force"] == {"paused": False, "max_cpu_percent": 50, "max_memory_mb": 256}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "at least one of max_cpu_percent, max_memory_mb, timeout_sec"),
        ({"max_disk_mb": 1}, "max_disk_mb: unknown field; allowed are max_cpu_percent"),
        ({"max_memory_mb": 15}, "max_memory_mb: 15 is not allowed; allowed is a whole number"),
        ({"max_cpu_percent": None}, "max_cpu_percent: None is not allowed"),
        ({"timeout_sec": "60"}, 'timeout_sec: "60" is not allowed'),
    ],
)
def test_limits_that_no_job_may_have_are_refused(
    inside: Inside, body: dict[str, Any], words: str
) -> None:
    job_id = inside.client().submit(JOB).id
    answer = inside.call("POST", f"/jobs/{job_id}/limits", json=body)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_a_queued_job_takes_every_limit_and_no_pause(inside: Inside) -> None:
    client = inside.client(Role.SUBMIT)
    job_id = client.submit(JOB).id
    client.set_limits(job_id, {"timeout_sec": 60})
    assert client.job(job_id).job.resource_limits.timeout_sec == 60
    with pytest.raises(Conflict, match="is queued; only one that runs can be paused"):
        client.pause(job_id)


def test_a_job_that_fits_now_goes_to_a_worker_that_waits(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    job_id = client.submit(JOB | {"resource_limits": {"max_memory_mb": 100000}}).id
    assert client.claim("ada", 0) is None
    client.set_limits(job_id, {"max_memory_mb": 1024})
    claim = client.claim("ada", 0)
    assert claim is not None
    assert claim.job_id == job_id


def test_the_log_says_who_changed_what_and_only_what_changed(inside: Inside) -> None:
    held = claimed(inside)
    inside.log.clear()
    client = inside.client(Role.SUBMIT)
    for _ in range(2):
        client.set_limits(held.job_id, {"max_memory_mb": 300})
        client.pause(held.job_id)
    client.resume(held.job_id)
    told = [{k: v for k, v in row.items() if k != "log_level"} for row in inside.log]
    assert told == [
        {"event": "job_limits_changed", "job": held.job_id, "by": "submit", "max_memory_mb": 300},
        {"event": "job_pause_changed", "job": held.job_id, "by": "submit", "pause": True},
        {"event": "job_pause_changed", "job": held.job_id, "by": "submit", "pause": False},
    ]
