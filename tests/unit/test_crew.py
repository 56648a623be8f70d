"""Who is at work: what only waits for its master holds nobody's place."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import Claim, Job, Outcome, Queue, State
from ffmpeg_worker import jobdir
from ffmpeg_worker.attempt import Station, resume, run
from ffmpeg_worker.crew import Crew, Live
from ffmpeg_worker.drain import Drains
from ffmpeg_worker.lease import Lease
from ffmpeg_worker.plan import make_plan
from ffmpeg_worker.results import Results
from ffmpeg_worker.unmanaged import Unmanaged
from tests.unit.test_plan import CONFIG
from tests.unit.test_watch import last_words

#: Nobody listens there.
AWAY = "http://127.0.0.1:1"


async def _up() -> bool:
    return False


def station(directory: Path) -> Station:
    config = replace(CONFIG, state_directory=directory)
    client = MasterClient(Endpoint(AWAY, "key"))
    placement = Unmanaged(config.jobs_directory)
    drains = Drains(config, _up)
    return Station(config, placement, client, Results(client), drains, lambda claim, outcome: None)


def attempt(at: Station, name: str, queue: Queue) -> Live:
    claim = Claim(name * 12, 1, "t" * 32, 60.0, Job(queue=queue))
    plan = replace(make_plan(claim, at.config), staged=None)
    jobdir.record(plan)
    return Live(claim, Lease(), plan)


def stand_still(crew: Crew) -> set[str]:
    return {live.claim.job_id[0] for live in crew.live.values() if live.lease.gives_way}


def goes_on(tmp_path: Path, exit_status: int, *, concluded: bool = False) -> bool:
    """Whether the second batch job goes on when the first has ended, with the master away."""

    async def story() -> bool:
        at = station(tmp_path)
        crew = Crew(at, lambda: None)
        at.results.ended = lambda: crew.preempt(2)
        first, second = attempt(at, "b", Queue.BATCH), attempt(at, "c", Queue.BATCH)
        assert first.plan is not None
        ends = asyncio.Event()

        async def to_its_end() -> None:
            assert first.plan is not None
            await ends.wait()
            await resume(first.plan, first.lease, at)

        crew._begin(first, to_its_end())
        crew._begin(second, asyncio.sleep(3600))
        crew._begin(attempt(at, "l", Queue.LIVE), asyncio.sleep(3600))
        crew.preempt(2)
        assert stand_still(crew) == {"c"}
        (Path(first.plan.directory) / "released").touch()
        last_words(first.plan, exit_status)
        if concluded:
            jobdir.keep_outcome(first.plan, Outcome(State.FAILED))
        ends.set()
        await asyncio.sleep(0.5)
        assert len(crew) == 3
        found = stand_still(crew)
        for task in crew.live:
            task.remove_done_callback(crew._ended)
            task.cancel()
        await asyncio.wait(list(crew.live))
        at.client.close()
        return found == set()

    return asyncio.run(story())


def test_a_job_goes_on_when_another_failed_though_no_master_heard_of_it(tmp_path: Path) -> None:
    assert goes_on(tmp_path, 1)


def test_a_job_goes_on_when_another_waits_to_be_published(tmp_path: Path) -> None:
    assert goes_on(tmp_path, 0)


def test_a_job_goes_on_when_an_earlier_worker_knew_the_end(tmp_path: Path) -> None:
    assert goes_on(tmp_path, 1, concluded=True)


def test_no_stream_begins_that_may_be_another_s(tmp_path: Path) -> None:
    """The master went away, or the machine slept, while it was prepared."""

    async def story() -> bool:
        at = station(tmp_path)
        live = attempt(at, "b", Queue.DEFAULT)
        assert live.plan is not None
        running = asyncio.ensure_future(run(live.plan, live.lease, at))
        await asyncio.sleep(0.5)
        assert not running.done()  # it is given back when the master is there
        running.cancel()
        at.client.close()
        return (Path(live.plan.directory) / "holder.json").exists()

    assert not asyncio.run(story())


def test_who_is_left_to_be_published_holds_no_place_up_to_as_many_as_there_are(
    tmp_path: Path,
) -> None:
    async def story() -> list[int]:
        at = station(tmp_path)
        crew = Crew(replace(at, config=replace(at.config, max_concurrent_jobs=2)), lambda: None)
        lives = [attempt(at, name, Queue.DEFAULT) for name in "bcd"]
        for live in lives:
            crew._begin(live, asyncio.sleep(3600))
        refused = Claim("e" * 12, 1, "t" * 32, 60.0, Job())
        crew._begin(Live(refused, Lease(), None), asyncio.sleep(3600))
        taken = [crew.places_taken]
        for live in lives:
            live.lease.at_work = False
            taken.append(crew.places_taken)
        assert crew.leaving() == tuple((name * 12, 1) for name in "bcde")
        for task in crew.live:
            task.remove_done_callback(crew._ended)
            task.cancel()
        await asyncio.wait(list(crew.live))
        at.client.close()
        return taken

    assert asyncio.run(story()) == [3, 2, 2, 2]
