"""Workers are set aside, emptied and forgotten at the master."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.model import Heartbeat, Role
from ffmpeg_jobs.problems import Conflict, InvalidField, NotFound
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


def test_a_worker_is_told_to_drain_until_that_is_taken_back(inside: Inside) -> None:
    client = inside.client()
    assert not client.register("ada", MACHINE).drain
    client.drain("ada")
    told = client.heartbeat("ada", Heartbeat())
    assert (told.drain, told.drain_seconds) == (True, None)
    client.drain("ada", 600)
    told = client.register("ada", MACHINE)  # a restart changes nothing about it
    assert told.drain_seconds is not None
    assert 0 < told.drain_seconds <= 600
    inside.clock.forward(600)
    assert client.heartbeat("ada", Heartbeat()).drain_seconds == 0
    client.ask_worker("ada", "undrain")
    told = client.heartbeat("ada", Heartbeat())
    assert (told.drain, told.drain_seconds) == (False, None)


def test_a_worker_that_drains_is_given_nothing(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    job = client.submit(JOB).id
    client.drain("ada")
    assert client.claim("ada", 0) is None
    assert client.workers()[0].draining
    assert "worker" in (client.job(job).waiting_for or "")
    client.ask_worker("ada", "undrain")
    assert client.claim("ada", 0) is not None


def test_how_long_jobs_may_run_has_bounds(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    with pytest.raises(InvalidField, match=r"timeout_seconds.*-1.*0 to 604800"):
        client.drain("ada", -1)


def test_only_who_is_gone_is_forgotten(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    client.submit(JOB)
    assert client.claim("ada", 0) is not None
    with pytest.raises(Conflict, match="online"):
        client.remove_worker("ada")
    inside.clock.forward(61)
    with pytest.raises(Conflict, match="holds 1 of its jobs"):
        client.remove_worker("ada")
    for _ in range(14):  # its lease ends, which the master was there to see
        inside.clock.forward(5)
        inside.housekeeping.round()
    client.remove_worker("ada")
    assert client.workers() == []
    with pytest.raises(NotFound):
        client.remove_worker("ada")
