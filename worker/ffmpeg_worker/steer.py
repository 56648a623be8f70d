"""Beside step 5: what the master wants of a running job reaches its scope, and is read back.

The master says with each heartbeat how the job shall be held; a wish that is new is written
down, brought to systemd, and counts as met when the kernel says so.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from ffmpeg_jobs.model import Terms
from ffmpeg_worker import jobdir
from ffmpeg_worker.calls import ScopeError
from ffmpeg_worker.cgroup import cgroup_of, read_back
from ffmpeg_worker.config import Config
from ffmpeg_worker.lease import Lease
from ffmpeg_worker.limits import HeldLimits, expected_files, unenforced
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.placement import Placement
from ffmpeg_worker.plan import Plan, within_caps
from ffmpeg_worker.terms import FILES, held_under, terms_of

#: Before a wish is tried again that was refused, if no other comes.
RETRY_SECONDS: Final = 30.0
#: systemd answers SetUnitProperties before it has written the cgroup's files; the kernel may
#: first have to take memory back.
CONFIRM_SECONDS: Final = 5.0
CONFIRM_EVERY_SECONDS: Final = 0.05

log = structlog.get_logger()


def scope_of(plan: Plan) -> Path | None:
    """The cgroup of the attempt's scope; None: its holder has ended, or runs in no scope."""
    pid = jobdir.holder_pid(plan)
    cgroup = cgroup_of(pid) if pid is not None else None
    return cgroup if cgroup is not None and cgroup.name == plan.unit else None


def in_force(plan: Plan) -> Terms | None:
    """How the kernel holds the attempt now; None: nothing of it runs in a scope."""
    cgroup = scope_of(plan)
    if cgroup is None:
        return None
    return terms_of(read_back(cgroup, list(FILES)))


async def steer(plan: Plan, lease: Lease, placement: Placement, config: Config) -> None:
    """Have the scope follow the master's word, until a stop is asked or this is canceled."""
    met: Terms | None = None
    while jobdir.holder_pid(plan) is None:  # it was let go, and writes this first
        await asyncio.sleep(CONFIRM_EVERY_SECONDS)
    while True:
        wanted = await lease.other_terms(met)
        if lease.stop_asked_by is not None:
            return
        problems = await _bring(plan, wanted, placement, config)
        _tell(plan, lease, "; ".join(problems) or None)
        if not problems:
            met = wanted
            continue
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(lease.other_terms(wanted), RETRY_SECONDS)


def _tell(plan: Plan, lease: Lease, unmet: str | None) -> None:
    if unmet is not None and unmet != lease.unmet:
        log.warning("terms_not_met", job=plan.claim.job_id, reason=unmet)
    lease.unmet = unmet


async def restore(plan: Plan, placement: Placement) -> bool:
    """Hold an adopted attempt to what was written down last; whether the kernel does."""
    cgroup, held = scope_of(plan), jobdir.held(plan)
    if cgroup is None:
        return placement.confines  # it has ended; it was verified before it was released
    if _differing(cgroup, held):
        try:
            await _set_limits(plan, held, placement)
            await _until_met(cgroup, held)
        except ScopeError as error:
            log.warning("limits_not_restored", job=plan.claim.job_id, reason=str(error))
    return not unenforced(held, read_back(cgroup, list(expected_files(held))))


async def _bring(plan: Plan, wanted: Terms, placement: Placement, config: Config) -> list[str]:
    """Do what is wanted where it is not so; what could not be done, in sentences."""
    held, cgroup = held_under(plan.held, wanted), scope_of(plan)
    if cgroup is None:
        asked = wanted.paused or held != jobdir.held(plan)
        lives = asked and not jobdir.holder_ended(plan)
        return ["it runs in no scope of its own, so nothing of it can change now"] if lives else []
    problems: list[str] = []
    # One after the other: a limit that is refused does not keep a job from being paused.
    for step in (
        _bring_pause(plan, cgroup, wanted.paused, placement),
        _bring_limits(plan, cgroup, held, placement, config),
    ):
        try:
            await step
        except (ScopeError, AttemptError, OSError) as error:
            problems.append(str(error))
    return problems


async def _bring_pause(plan: Plan, cgroup: Path, paused: bool, placement: Placement) -> None:
    stands = read_back(cgroup, ["cgroup.freeze"])["cgroup.freeze"]
    if (stands or "0") == str(int(paused)):  # without the file, nothing can stand still
        return
    await (placement.freeze if paused else placement.thaw)(plan.claim.job_id)
    log.info("pause_changed", job=plan.claim.job_id, paused=paused)


async def _bring_limits(
    plan: Plan, cgroup: Path, held: HeldLimits, placement: Placement, config: Config
) -> None:
    before = jobdir.held(plan)
    if held == before and not _differing(cgroup, held):
        return
    within_caps(held, config)
    jobdir.keep_held(plan, held)
    try:
        await _set_limits(plan, held, placement)
        missing = await _until_met(cgroup, held)
        if missing:
            raise ScopeError(f"the kernel does not hold it to the new {', '.join(missing)}")
    except ScopeError:
        jobdir.keep_held(plan, before)
        raise
    log.info("limits_changed", job=plan.claim.job_id, **_numbers(held))


def _differing(cgroup: Path, held: HeldLimits) -> list[str]:
    """The files that are there and say something else than the limits."""
    found = read_back(cgroup, list(expected_files(held)))
    return [name for name in unenforced(held, found) if found[name] is not None]


async def _set_limits(plan: Plan, held: HeldLimits, placement: Placement) -> None:
    await placement.set_limits(plan.claim.job_id, _numbers(held))


def _numbers(held: HeldLimits) -> dict[str, int]:
    return {"cpu_percent": held.cpu_percent, "memory_mb": held.memory_mb, "tasks": held.tasks}


async def _until_met(cgroup: Path, held: HeldLimits) -> list[str]:
    """Wait for the kernel to have the limits; the files that do not say so."""
    names = list(expected_files(held))
    for _ in range(round(CONFIRM_SECONDS / CONFIRM_EVERY_SECONDS)):
        missing = unenforced(held, read_back(cgroup, names))
        if not missing or not cgroup.exists():
            return []
        await asyncio.sleep(CONFIRM_EVERY_SECONDS)
    return missing
