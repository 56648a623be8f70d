"""A tenant's limits hold for all masters together, and who waits at one hears of the other."""

from __future__ import annotations

import time

import pytest

from ffmpeg_jobs.model import Outcome, State, TenantLimits
from tests.api.conftest import JOB, MACHINE, PATIENCE_SECONDS, in_thread
from tests.masters.conftest import Farm

DONE = Outcome(State.COMPLETED)


@pytest.mark.parametrize("how", ["a job ends", "the limit is raised"])
def test_a_claim_at_one_hears_of_room_at_the_other(farm: Farm, how: str) -> None:
    here, there = (farm.client(master.ready().url) for master in farm.masters)
    here.register("ada", MACHINE)
    here.register("bob", MACHINE)
    here.set_tenant("default", TenantLimits(max_running=1))
    first, last = here.submit(JOB).id, here.submit(JOB).id
    held = there.claim("ada", 5)
    assert held is not None and held.job_id == first
    thread, got = in_thread(lambda: farm.client(farm.masters[1].url).claim("bob", PATIENCE_SECONDS))
    time.sleep(0.5)  # it has looked, and found nothing
    assert got == []
    if how == "a job ends":
        here.finish(held.job_id, held.attempt, held.token, DONE)
    else:
        here.set_tenant("default", TenantLimits(max_running=2))
    thread.join(PATIENCE_SECONDS)
    assert [one.job_id for one in got] == [last]
