"""Step 5: wait for whatever ends a running job first, then gather the facts."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from ffmpeg_jobs.model import Claim, Report
from ffmpeg_worker import jobdir
from ffmpeg_worker.calls import ScopeError, Unanswered
from ffmpeg_worker.cgroup import is_empty
from ffmpeg_worker.command import expected_seconds
from ffmpeg_worker.control import STOP_JOBS
from ffmpeg_worker.facts import Facts, ended_by_itself
from ffmpeg_worker.jobdir import HolderFacts
from ffmpeg_worker.lease import LOOK_SECONDS, Lease
from ffmpeg_worker.placement import Placement
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.progress import input_seconds, parse_progress
from ffmpeg_worker.reservation import held_mb
from ffmpeg_worker.scopes import ScopeEnd
from ffmpeg_worker.steer import in_force, scope_of
from ffmpeg_worker.usage import memory_events, read_usage, usage_from_counters

#: systemd ends a job at its RuntimeMaxSec; we do it this much later if it did not.
TIMEOUT_GRACE_SECONDS: Final = 15.0
#: What is left of a scope after its holder ended gets SIGKILL within TimeoutStopUSec.
OVER_SECONDS: Final = 10.0
ASK_AGAIN_SECONDS: Final = 0.5
#: A holder begins to count a little after its scope: what is left of its time then.
LATE_SECONDS: Final = 1.0
#: For each report; of an input that is described at more length, no percent is told.
PREAMBLE_BYTES: Final = 64 << 10

log = structlog.get_logger()


@dataclass(frozen=True)
class Running:
    """A plan whose holder exists, released or found again."""

    plan: Plan
    pidfd: int | None  #: None: the holder had ended when we came
    enforced: bool = True
    scope: Path | None = None  #: its cgroup; None: it has none, or had ended when we came
    gate: socket.socket | None = None  #: ends when ffmpeg has; None: the holder is another's child


async def watch(
    running: Running,
    lease: Lease,
    placement: Placement,
    encoded: Callable[[], None] = lambda: None,
) -> Facts:
    """Wait for the end, or bring it about when asked; what is known of it then.

    ``encoded`` is called when ffmpeg has ended, which its holder may outlive for a while.
    """
    with _told_of_end(running, encoded):
        return await _watch(running, lease, placement)


async def _watch(running: Running, lease: Lease, placement: Placement) -> Facts:
    plan = running.plan
    job_id = plan.claim.job_id
    stopped_by = jobdir.stop_noted(plan)
    if running.pidfd is not None:
        stopped_by = await _until_ended(plan, running.pidfd, lease, placement) or stopped_by
    elif lease.stop_asked_by == STOP_JOBS:  # which ends jobs itself where no worker runs
        stopped_by = stopped_by or STOP_JOBS
    holder = jobdir.holder_facts(plan)
    if holder is None and not jobdir.was_released(plan):
        stopped_by = stopped_by or "unstarted"
    # What ended well needs no systemd to say how.
    well = holder is not None and holder.exit_status == 0
    result = "" if well else await _scope_result(plan, placement)
    holder = holder or jobdir.holder_facts(plan)  # who asked of the scope may have waited
    facts = _facts(running, holder, result, stopped_by)
    if not (well and _left_nothing(facts, running.scope)):
        await _stop(placement, job_id)
    return facts


def _left_nothing(facts: Facts, scope: Path | None) -> bool:
    """Whether nothing of a scope runs any more, and nothing failed that systemd would remember."""
    failed = facts.terminated or facts.oom_kills > 0
    return not failed and scope is not None and is_empty(scope)


async def _scope_result(plan: Plan, placement: Placement) -> str:
    """systemd's Result of the scope; empty: not known any more.

    Written down, because systemd is told to forget it before the outcome is on disk.
    """
    kept = jobdir.scope_result(plan)
    if kept is not None:
        return kept
    try:
        end = await asyncio.wait_for(_over(plan, placement), OVER_SECONDS)
    except (TimeoutError, ScopeError) as error:
        log.warning("scope_not_over", job=plan.claim.job_id, reason=str(error))
        return ""
    if end.result not in ("", "success"):
        jobdir.keep_scope_result(plan, end.result)
    return end.result


async def _over(plan: Plan, placement: Placement) -> ScopeEnd:
    """How the scope ended; asked again while the bus is away."""
    while True:
        try:
            return await placement.wait_over(plan.claim.job_id)
        except Unanswered as error:
            log.warning("scope_unknown", job=plan.claim.job_id, reason=str(error))
            await asyncio.sleep(ASK_AGAIN_SECONDS)


async def _until_ended(plan: Plan, pidfd: int, lease: Lease, placement: Placement) -> str | None:
    """Until the holder ended: by itself, or because somebody wanted it, who is returned."""
    ended = asyncio.ensure_future(exited(pidfd))
    asked = asyncio.ensure_future(lease.stop_asked())
    unsure = asyncio.ensure_future(_unsure(plan, lease))
    longest = _longest_seconds(plan, placement)
    try:
        done, _ = await asyncio.wait(
            {ended, asked, unsure}, timeout=longest, return_when=asyncio.FIRST_COMPLETED
        )
        if ended in done:
            return None
        by = lease.stop_asked_by or ("unsure" if unsure in done else "timeout")
        jobdir.note_stop(plan, by)
        while not ended.done():
            await _stop(placement, plan.claim.job_id)
            await asyncio.wait({ended}, timeout=OVER_SECONDS)
        return by
    finally:
        for task in (ended, asked, unsure):
            task.cancel()


async def _unsure(plan: Plan, lease: Lease) -> None:
    """Until a stream may soon be another's to send. What is published after its end can wait."""
    if not plan.streams:
        await asyncio.Event().wait()
    kept = None
    while (left := lease.sure_seconds) > 0:
        if lease.until != kept:
            kept = lease.until
            jobdir.keep_lease(plan, kept)  # the next worker must know
        await asyncio.sleep(min(left, LOOK_SECONDS))


def _longest_seconds(plan: Plan, placement: Placement) -> float:
    """How long from now until the job is ended for its time; it goes on while the job is paused,
    as systemd's RuntimeMaxSec does."""
    if placement.confines:
        return plan.held.timeout_seconds + TIMEOUT_GRACE_SECONDS
    return max(0.0, plan.held.timeout_seconds - jobdir.holder_age_seconds(plan))


@contextmanager
def _told_of_end(running: Running, then: Callable[[], None]) -> Iterator[None]:
    if running.gate is None:
        yield
        return
    loop = asyncio.get_running_loop()
    with running.gate as gate:

        def ended() -> None:
            loop.remove_reader(gate)
            then()

        loop.add_reader(gate, ended)
        try:
            yield
        finally:
            loop.remove_reader(gate)


async def exited(pidfd: int) -> None:
    """Until the process of a pidfd has ended, our child or not (pidfd_open(2)); closes it."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        with suppress(ChildProcessError):  # adopted: its parent is PID 1
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
        os.close(pidfd)


async def _stop(placement: Placement, job_id: str) -> None:
    try:
        await placement.stop(job_id)
    except ScopeError as error:
        log.warning("stop_failed", job=job_id, reason=str(error))


def _facts(
    running: Running, holder: HolderFacts | None, scope_result: str, stopped_by: str | None
) -> Facts:
    """``stopped_by``: who wanted its end, if it had not come before."""
    plan = running.plan
    counters = holder.counters if holder else {}
    wall_seconds = holder.wall_seconds if holder else None
    events = memory_events(counters.get("memory.events", ""))
    facts = Facts(
        exit_status=holder.exit_status if holder else None,
        scope_result=scope_result or None,
        terminated=holder is not None and holder.terminated,
        oom_kills=events.get("oom_kill", 0),
        met_its_limit=events.get("oom", 1) > 0,
        timed_out=stopped_by == "timeout"
        # systemd's word is lost, or it remembers nothing: who stopped it late was its clock.
        or (not scope_result and _stopped_late(plan, holder)),
        stop_asked_by=stopped_by,
        stderr_tail=tuple(jobdir.tail(plan, "log").splitlines()),
        usage=usage_from_counters(counters, wall_seconds),
        disk_free_percent=_free_percent(Path(plan.staged or plan.directory).parent),
        disk_used_mb=held_mb(plan) if stopped_by == "disk" else None,
        enforced=running.enforced,
        disk_limit_mb=plan.max_disk_mb,
        memory_limit_mb=jobdir.held(plan).memory_mb,
        timeout_sec=plan.held.timeout_seconds,
    )
    return replace(facts, stop_asked_by=None) if ended_by_itself(facts) else facts


def _stopped_late(plan: Plan, holder: HolderFacts | None) -> bool:
    """Whether the whole scope was stopped when the time of its job was over."""
    if holder is None or not holder.terminated:
        return False
    return holder.wall_seconds + LATE_SECONDS >= plan.held.timeout_seconds


def _free_percent(folder: Path) -> float | None:
    try:
        space = shutil.disk_usage(folder)
    except OSError:  # somebody took the folder away
        return None
    return 100 * space.free / space.total


def report_of(plan: Plan | None, claim: Claim, unmet: str | None = None) -> Report:
    """How one attempt stands now, for a heartbeat; ``plan`` is None before there is one.

    ``unmet``: why the last wish of the master is not in force. What cannot be read is left out:
    the lease of every attempt hangs on the one message.
    """
    bare = Report(claim.job_id, claim.attempt, claim.token, unmet=unmet)
    if plan is None:
        return bare
    try:
        seconds = expected_seconds(claim.job, input_seconds(jobdir.preamble(plan, PREAMBLE_BYTES)))
        progress = parse_progress(jobdir.tail(plan, "work/progress"), seconds)
        scope = scope_of(plan)
        usage = None if scope is None else read_usage(scope)
        return replace(bare, progress=progress, usage=usage, in_force=in_force(plan))
    except OSError as error:
        log.warning("not_looked_at", job=claim.job_id, reason=str(error))
        return bare
