"""Who has room: a claim that waits hears of it, and a job that fits there is found."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from ffmpeg_jobs.model import Heartbeat, Outcome, Reason, Role, State
from tests.api.conftest import JOB, MACHINE, PATIENCE_SECONDS, Inside, in_thread, until
from tests.conftest import ENGINES

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)

ONE = replace(MACHINE, max_concurrent_jobs=1)


@contextmanager
def waiter(inside: Inside, name: str) -> Iterator[list[Any]]:
    """A claim that found nothing and is held, and what it gets."""
    client, before = inside.client(Role.WORKER), len(inside.master.wakeup)
    thread, found = in_thread(lambda: client.claim(name, PATIENCE_SECONDS))
    until(lambda: len(inside.master.wakeup) == before + 1)
    time.sleep(0.2)  # it looks
    yield found
    thread.join(PATIENCE_SECONDS / 2)
    found[:] = [claim and claim.job_id for claim in found]


def test_after_an_attempt_that_is_tried_again(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", ONE)
    client.submit(JOB)
    first = client.claim("ada", 0)
    assert first is not None
    waiting = client.submit(JOB).id
    with waiter(inside, "ada") as found:
        outcome = Outcome(State.FAILED, Reason.NETWORK_ERROR, "broke off")
        client.finish(first.job_id, first.attempt, first.token, outcome)
        assert client.job(first.job_id).state is State.QUEUED
    assert found == [waiting]


def test_after_a_job_that_it_never_heard_of(inside: Inside) -> None:
    client = inside.client()
    for name in ("ada", "bob"):
        client.register(name, replace(ONE, labels={"is": name}))
    client.submit(JOB)
    assert client.claim("ada", 0, serial=1) is not None
    waiting = client.submit({**JOB, "worker_labels": {"is": "ada"}}).id
    # The job that is given back goes to the one that waits longer.
    with waiter(inside, "bob"), waiter(inside, "ada") as found:
        client.heartbeat("ada", Heartbeat(claim_serial=2))
    assert found == [waiting]


@pytest.mark.parametrize(("away", "back"), [("cordon", "uncordon"), ("drain", "undrain")])
def test_when_it_takes_jobs_again(inside: Inside, away: str, back: str) -> None:
    client = inside.client()
    client.register("ada", ONE)
    client.submit(JOB)
    inside.call("POST", f"/workers/ada/{away}", json={})
    with waiter(inside, "ada") as found:
        assert inside.call("POST", f"/workers/ada/{back}").status_code == 204
    assert len(found) == 1
    assert found[0]


def test_a_job_is_found_behind_hundreds_that_ask_for_more(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", replace(MACHINE, cpus=8))

    def asking(cpu_percent: int) -> dict[str, Any]:
        return {**JOB, "resource_limits": {"max_cpu_percent": cpu_percent}}

    client.submit(asking(100))
    assert client.claim("ada", 0) is not None
    big = client.submit_batch([asking(800)] * 600)
    assert client.claim("ada", 0) is None
    small = client.submit(asking(100)).id
    claim = client.claim("ada", 0)
    assert claim is not None and claim.job_id == small
    # So is one of them that asks for less now.
    client.set_limits(big[-1].id, {"max_cpu_percent": 100})
    claim = client.claim("ada", 0)
    assert claim is not None and claim.job_id == big[-1].id
