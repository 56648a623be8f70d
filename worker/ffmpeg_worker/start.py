"""Steps 3 to 6: hold, place, verify, release. Then ffmpeg runs, under its limits from the first."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import Final

import structlog

from ffmpeg_jobs.model import Reason
from ffmpeg_worker import holder
from ffmpeg_worker.cgroup import cgroup_of, read_back
from ffmpeg_worker.limits import expected_files, unenforced
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.pidfd import has_ended
from ffmpeg_worker.placement import Placement
from ffmpeg_worker.plan import Plan, opening
from ffmpeg_worker.scopes import ScopeError, Unanswered
from ffmpeg_worker.watch import Running, exited

HOLDER: Final = Path(holder.__file__)
#: Each start would compile it anew; an upgrade takes this away for a moment.
COMPILED: Final = Path(cache_from_source(holder.__file__))

log = structlog.get_logger()


@dataclass(frozen=True)
class Held:
    """A holder that waits at its gate: our child, in our own cgroup."""

    pid: int
    pidfd: int
    gate: int


class _HolderDied(AttemptError):
    """It ended before the gate was opened, and nobody had decided so."""


async def start(plan: Plan, placement: Placement) -> Running:
    """Hold, place, verify, release. Raises AttemptError, and then nothing of it is left."""
    try:
        return await _start(plan, placement, COMPILED if COMPILED.exists() else HOLDER)
    except _HolderDied as death:
        # An upgrade may have taken the compiled one away under Python's nose.
        log.warning("holder_died", job=plan.claim.job_id, reason=str(death))
        return await _start(plan, placement, HOLDER)


async def _start(plan: Plan, placement: Placement, program: Path) -> Running:
    try:
        held = hold(plan, program)
    except OSError as error:
        words = f"the machine cannot start a process for the job: {error.strerror}"
        raise AttemptError(Reason.WORKER_LOST, words) from None
    try:
        await _place(plan, held, placement)
        scope = cgroup_of(held.pid) if placement.confines else None
        enforced = verify(plan, scope, confined=placement.confines)
        os.write(held.gate, opening(plan))
    except (ScopeError, AttemptError, OSError) as error:
        died = has_ended(held.pidfd)
        os.close(held.gate)
        await exited(held.pidfd)
        await clear_away(plan, placement)
        raise _trouble(error, died=died) from None
    os.close(held.gate)
    log.info("started", job=plan.claim.job_id, attempt=plan.claim.attempt, unit=plan.unit)
    return Running(plan, held.pidfd, enforced, scope)


def _trouble(error: Exception, *, died: bool) -> AttemptError:
    """Why it could not be started, and whether another machine may be able to."""
    if died:
        words = f"the process that was to hold the job ended before it began: {error}"
        return _HolderDied(Reason.WORKER_LOST, words, "unstarted")
    if isinstance(error, AttemptError):
        return error
    # With a bus or a launcher that is gone this machine is ill, and another may be well.
    reason = Reason.WORKER_LOST if isinstance(error, Unanswered) else Reason.INTERNAL_ERROR
    return AttemptError(reason, f"the job could not be put under its limits: {error}")


async def _place(plan: Plan, held: Held, placement: Placement) -> None:
    try:
        await placement.place(plan.claim.job_id, held.pidfd, plan.held)
    except ScopeError:
        # A launcher that died right after it had done it: the next one refuses to do it again.
        cgroup = cgroup_of(held.pid)
        if cgroup is None or cgroup.name != plan.unit:
            raise


def hold(plan: Plan, program: Path) -> Held:
    """Start the holder: it waits at the gate, our child, in our own cgroup. Raises OSError.

    SIGTERM is blocked from before its first instruction on: a stop must not take its last words
    away. posix_spawn can do that without running our code between fork and exec.
    """
    started = [sys.executable, "-I", "-S", str(program), plan.directory]
    reading, gate = os.pipe()
    try:
        pid = os.posix_spawn(
            sys.executable,
            [*started, *filter(None, [plan.staged])],
            {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reading, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,
            setsigmask=[signal.SIGTERM],
        )
        return Held(pid, os.pidfd_open(pid), gate)
    except OSError:
        os.close(gate)  # a holder that was started all the same ends by that
        raise
    finally:
        os.close(reading)


def verify(plan: Plan, cgroup: Path | None, *, confined: bool) -> bool:
    """Read the limits back from the kernel: on a machine without the controllers systemd
    reports success and holds nothing. Raises AttemptError where enforcement is required."""
    missing = list(expected_files(plan.held))
    if confined:
        if cgroup is None or cgroup.name != plan.unit:
            where = "gone" if cgroup is None else f"in {cgroup}"
            raise AttemptError(
                Reason.INTERNAL_ERROR, f"the job's process is {where}, not in {plan.unit}"
            )
        missing = unenforced(plan.held, read_back(cgroup, missing))
    if missing and plan.require_enforcement:
        raise AttemptError(
            Reason.INTERNAL_ERROR,
            f"this machine does not enforce {', '.join(missing)}, and the job requires it",
        )
    return not missing


async def clear_away(plan: Plan, placement: Placement) -> None:
    """End whatever runs of the attempt, as far as that can be done."""
    with suppress(ScopeError):
        await placement.stop(plan.claim.job_id)
