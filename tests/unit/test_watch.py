"""How an attempt ended, and who ended it: real processes, held by nobody but the worker."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.model import Reason
from ffmpeg_worker import jobdir, start, unmanaged
from ffmpeg_worker.facts import Facts
from ffmpeg_worker.hold import Nursery
from ffmpeg_worker.lease import MARGIN_SECONDS, Lease, boot_seconds
from ffmpeg_worker.outcome import conclude
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.unmanaged import Unmanaged
from ffmpeg_worker.watch import Running, watch
from tests.unit.test_jobdir import write
from tests.unit.test_plan import CONFIG, planned


def recorded(directory: Path, *run: str, stream: bool = False) -> Plan:
    """An attempt whose job is another program than ffmpeg."""
    config = replace(CONFIG, state_directory=directory, require_enforcement=False)
    made = replace(planned(config), run=run, probe=None, require_enforcement=False)
    plan = replace(made, staged=None) if stream else made
    jobdir.record(plan)
    if plan.staged:
        Path(plan.staged).touch()
    return plan


def asked(by: str | None, until: float | None = None) -> Lease:
    lease = Lease(boot_seconds() + 60 if until is None else until)
    if by is not None:
        lease.ask_stop(by)
    return lease


def ended(plan: Plan, lease: Lease) -> Facts:
    """Of an attempt whose holder ended while no worker ran."""
    (Path(plan.directory) / "released").touch()
    return asyncio.run(watch(Running(plan, None), lease, Unmanaged(Path(plan.directory).parent)))


def last_words(plan: Plan, exit_status: int, **more: Any) -> None:
    rest: dict[str, Any] = {"terminated": False, "wall_seconds": 3.0, "counters": {}}
    write(plan, "facts.json", **rest | {"exit_status": exit_status} | more)


BAD = "[error] file:/input: Invalid data found when processing input\n"


@pytest.mark.parametrize("by", ["drain", "spot", "stop-jobs", "volume"])
@pytest.mark.parametrize("noted", [False, True])
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"exit_status": 1}, Reason.INPUT_ERROR),
        ({"exit_status": -15, "wall_seconds": 600.0, "terminated": True}, Reason.TIMEOUT),
        (
            {"exit_status": -9, "counters": {"memory.events": "oom 1\noom_kill 1\n"}},
            Reason.OUT_OF_MEMORY,
        ),
    ],
)
def test_a_stop_that_came_too_late_hides_no_end(
    tmp_path: Path, by: str, noted: bool, words: dict[str, Any], reason: Reason
) -> None:
    """A drain was due, or the worker that began the stop died before it was made."""
    plan = recorded(tmp_path, "true")
    (Path(plan.directory) / "log").write_text(BAD)
    last_words(plan, **words)
    if noted:
        jobdir.note_stop(plan, by)
    facts = ended(plan, asked(by))
    assert (facts.stop_asked_by, conclude(facts).reason) == (None, reason)


def test_a_stop_that_was_made_is_why_it_ended(tmp_path: Path) -> None:
    plan = recorded(tmp_path, "true")
    last_words(plan, -15)
    jobdir.note_stop(plan, "drain")
    assert ended(plan, asked(None)).stop_asked_by == "drain"


@pytest.mark.parametrize(("by", "counts"), [("stop-jobs", "stop-jobs"), ("drain", None)])
def test_only_stop_jobs_ends_jobs_where_no_worker_runs(
    tmp_path: Path, by: str, counts: str | None
) -> None:
    plan = recorded(tmp_path, "true")
    last_words(plan, -15)
    assert ended(plan, asked(by)).stop_asked_by == counts


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ({"exit_status": 1}, Reason.INPUT_ERROR),
        ({"exit_status": 255, "terminated": True}, Reason.TIMEOUT),
    ],
)
def test_only_who_was_stopped_at_the_end_of_his_time_was_late(
    tmp_path: Path, end: dict[str, Any], reason: Reason
) -> None:
    plan = recorded(tmp_path, "true")
    (Path(plan.directory) / "log").write_text(BAD)
    last_words(plan, **end, wall_seconds=plan.held.timeout_seconds - 0.5)
    assert conclude(ended(plan, asked(None))).reason is reason


class Counting(Unmanaged):
    """How often it was told to stop a job."""

    stops = 0

    async def stop(self, job_id: str) -> None:
        self.stops += 1


@pytest.mark.parametrize(
    ("end", "populated", "stops"),
    [
        ({"exit_status": 0}, "0", 0),
        ({"exit_status": 0}, "1", 1),
        ({"exit_status": 1}, "0", 1),
        ({"exit_status": 0, "terminated": True}, "0", 1),
        ({"exit_status": 0, "counters": {"memory.events": "oom_kill 1\n"}}, "0", 1),
    ],
)
def test_a_scope_that_ended_well_and_is_empty_is_not_stopped(
    tmp_path: Path, end: dict[str, Any], populated: str, stops: int
) -> None:
    plan = recorded(tmp_path / "jobs", "true")
    last_words(plan, **end)
    (Path(plan.directory) / "released").touch()
    scope = tmp_path / plan.unit
    scope.mkdir()
    (scope / "cgroup.events").write_text(f"populated {populated}\nfrozen 0\n")
    placement = Counting(Path(plan.directory).parent)
    asyncio.run(watch(Running(plan, None, scope=scope), asked(None), placement))
    assert placement.stops == stops


def test_a_holder_that_never_began_leaves_nothing_to_count(tmp_path: Path) -> None:
    plan = recorded(tmp_path, "true")
    placement = Unmanaged(Path(plan.directory).parent)
    facts = asyncio.run(watch(Running(plan, None), asked(None), placement))
    assert facts.stop_asked_by == "unstarted"


async def begun(plan: Plan, lease: Lease) -> tuple[asyncio.Future[Facts], Unmanaged]:
    placement = Unmanaged(Path(plan.directory).parent)
    nursery = Nursery()
    running = await start.start(plan, placement, nursery)
    nursery.close()  # its holders go on
    while not jobdir.was_released(plan):
        await asyncio.sleep(0.01)
    return asyncio.ensure_future(watch(running, lease, placement)), placement


def test_a_stream_ends_while_it_is_certainly_ours(tmp_path: Path) -> None:
    async def story() -> tuple[Facts, float]:
        lease = asked(None, boot_seconds() + MARGIN_SECONDS + 1)
        watching, _ = await begun(recorded(tmp_path, "sleep", "60", stream=True), lease)
        facts = await asyncio.wait_for(watching, 20)
        return facts, lease.until - boot_seconds()

    facts, left_seconds = asyncio.run(story())
    assert facts.stop_asked_by == "unsure"
    assert 0 < left_seconds < MARGIN_SECONDS
    assert "cut off from the master" in str(conclude(facts).error)


def test_what_is_published_at_its_end_goes_on_without_a_master(tmp_path: Path) -> None:
    async def story() -> Facts:
        watching, _ = await begun(recorded(tmp_path, "sleep", "1.5"), asked(None, 0.0))
        return await asyncio.wait_for(watching, 20)

    facts = asyncio.run(story())
    assert (facts.exit_status, facts.stop_asked_by) == (0, None)


def test_the_next_worker_knows_how_long_a_stream_is_ours(tmp_path: Path) -> None:
    async def story(plan: Plan) -> None:
        lease = asked(None)
        watching, _ = await begun(plan, lease)
        await asyncio.sleep(0.2)
        assert jobdir.kept_lease(plan) == lease.until
        lease.ask_stop("cancel")
        await asyncio.wait_for(watching, 20)

    stream = recorded(tmp_path, "sleep", "60", stream=True)
    asyncio.run(story(stream))
    assert jobdir.kept_lease(recorded(tmp_path / "other", "true")) == 0.0


def test_a_holder_that_stands_still_ends_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one in a frozen scope does."""
    monkeypatch.setattr(unmanaged, "KILL_AFTER_SECONDS", 0.3)
    plan = recorded(tmp_path, "sleep", "60")

    async def story() -> Facts:
        watching, placement = await begun(plan, asked(None))
        pid = jobdir.holder_pid(plan)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        jobdir.note_stop(plan, "stop-jobs")
        await placement.stop(plan.claim.job_id)
        assert placement.running() == []
        return await asyncio.wait_for(watching, 20)

    facts = asyncio.run(story())
    assert (facts.exit_status, facts.stop_asked_by) == (None, "stop-jobs")
