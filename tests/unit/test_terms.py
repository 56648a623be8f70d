"""What the kernel's files say of a job's terms, what is wanted of it, what is written down."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Claim, Job, Terms
from ffmpeg_worker import jobdir
from ffmpeg_worker.lease import Lease
from ffmpeg_worker.limits import HeldLimits, expected_files
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.terms import FILES, held_under, terms_of

HELD = HeldLimits(cpu_percent=50, memory_mb=256, timeout_seconds=60)


def make_plan(directory: Path) -> Plan:
    claim = Claim("aaaaaaaaaaaa", 1, "token", 60.0, Job())
    name = "ffmpeg-job-aaaaaaaaaaaa.scope"
    return Plan(claim, name, str(directory / "aaaaaaaaaaaa.1"), (), HELD, True, 100)


@pytest.mark.parametrize("percent", [1, 33, 50, 150, 102400])
def test_terms_are_read_as_they_are_written(percent: int) -> None:
    held = replace(HELD, cpu_percent=percent)
    found = expected_files(held) | {"cgroup.events": "populated 1\nfrozen 0"}
    assert terms_of(found) == Terms(False, percent, 256)


@pytest.mark.parametrize(
    ("found", "terms"),
    [
        ({"cgroup.events": "populated 1\nfrozen 1"}, Terms(paused=True)),
        ({"cpu.max": "max 100000", "memory.max": "max", "cgroup.events": None}, Terms()),
        ({"cgroup.events": "populated 1\nfrozen 0"}, Terms()),
    ],
)
def test_what_is_not_limited_has_no_number(found: dict[str, str | None], terms: Terms) -> None:
    nothing = dict.fromkeys(FILES)
    assert terms_of(nothing | found) == terms


def test_what_was_not_asked_stays_as_it_was_planned() -> None:
    assert held_under(HELD, Terms(max_memory_mb=300)) == replace(HELD, memory_mb=300)
    assert held_under(HELD, Terms(max_cpu_percent=75)) == replace(HELD, cpu_percent=75)
    assert held_under(HELD, Terms(paused=True)) == HELD


def test_changed_limits_are_found_again_by_the_next_worker(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    jobdir.record(plan)
    assert jobdir.held(plan) == HELD
    jobdir.keep_held(plan, replace(HELD, memory_mb=300))
    assert jobdir.held(jobdir.reopen(Path(plan.directory))) == replace(HELD, memory_mb=300)


def test_a_wish_is_heard_once_however_often_it_is_told() -> None:
    async def story() -> list[Terms]:
        lease, heard = Lease(), []
        waiting = asyncio.ensure_future(lease.other_terms(None))
        lease.want(None)  # a master that says nothing of it
        await asyncio.sleep(0)
        assert not waiting.done()
        for terms in (Terms(), Terms(), Terms(paused=True)):
            lease.want(terms)
        heard.append(await waiting)
        again = asyncio.ensure_future(lease.other_terms(heard[0]))
        lease.want(Terms(paused=True))
        await asyncio.sleep(0)
        assert not again.done()
        lease.want(Terms())
        heard.append(await again)
        return heard

    assert asyncio.run(story()) == [Terms(paused=True), Terms()]


def test_why_one_wish_was_not_met_says_nothing_of_the_next() -> None:
    lease = Lease()
    lease.want(Terms(paused=True))
    lease.unmet = "refused"
    lease.want(Terms(paused=True))
    assert lease.unmet == "refused"
    lease.want(Terms())
    assert lease.unmet is None
