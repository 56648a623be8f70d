"""Batch jobs stand still for live ones, where that is switched on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.farm import Farm, scope, worker_with

pytestmark = pytest.mark.lab

#: Who stands still keeps its memory and disk, so both jobs must fit.
SIZES = ("--cpu", "10", "--memory", "256", "--disk", "100")
LONG = ("--scenario", "preview", "--duration", "3600", *SIZES)


@pytest.fixture
def _preempting(container: Farm) -> Iterator[None]:
    """One place, and it preempts."""
    with worker_with(container, max_concurrent_jobs=1, live_preempts_batch="true"):
        yield


def frozen(farm: Farm, job: str) -> str:
    return farm.run(f"grep frozen {scope(job)}/cgroup.events").stdout.strip()


@pytest.mark.usefixtures("_preempting")
def test_a_live_job_takes_the_place_of_a_batch_job(container: Farm) -> None:
    batch = container.submit(*LONG, "--queue", "batch")
    container.started(batch)
    usual = container.submit(*LONG)
    live = container.submit(*LONG, "--queue", "live")
    container.started(live)
    container.wait_for(batch, "paused")
    told = '.unmet == "it stands still while a live job has its place"'
    container.machine.wait_until(f"{container.ask(f'/jobs/{batch}')} | jq -e '{told}'", timeout=60)
    assert frozen(container, batch) == "frozen 1"
    # A worker that starts anew leaves it so.
    container.run("systemctl restart ffmpeg-worker")
    container.machine.wait_until("systemctl show -P StatusText ffmpeg-worker | grep '2 of 1'")
    assert frozen(container, batch) == "frozen 1"
    container.end(live)
    shown = container.wait_for(batch, "running")
    assert (shown["attempt"], shown.get("unmet")) == (1, None)
    assert frozen(container, batch) == "frozen 0"
    assert container.job(usual)["state"] == "queued"
    container.end(batch)
    container.started(usual)
    container.end(usual)
