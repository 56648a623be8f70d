"""Steps 3 to 6: hold, place, verify, release. Then ffmpeg runs, under its limits from the first."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import structlog

from ffmpeg_jobs.model import Reason
from ffmpeg_worker.calls import NotAllowed, ScopeError
from ffmpeg_worker.cgroup import cgroup_of, read_back
from ffmpeg_worker.hold import Held, Nursery, hold
from ffmpeg_worker.limits import expected_files, unenforced
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.pidfd import has_ended
from ffmpeg_worker.placement import Placement
from ffmpeg_worker.plan import Plan, opening
from ffmpeg_worker.prepare import NOTHING, Opened
from ffmpeg_worker.watch import Running, exited

log = structlog.get_logger()


class NotStarted(AttemptError):
    """The machine could not start it; the job has no part in that, and another machine may."""

    def __init__(self, message: str, stopped_by: str | None = None) -> None:
        super().__init__(Reason.WORKER_LOST, message, stopped_by)


async def start(
    plan: Plan, placement: Placement, nursery: Nursery, opened: Opened = NOTHING
) -> Running:
    """Hold, place, verify, release; ``opened`` stays open here.

    Raises AttemptError, and then nothing of it is left; NotStarted where the machine is the reason.
    """
    try:
        held = hold(plan, nursery, opened)
    except OSError as error:
        words = f"the machine cannot start a process for the job: {error.strerror}"
        raise NotStarted(words) from None
    try:
        await _place(plan, held, placement)
        scope = cgroup_of(held.pid) if placement.confines else None
        restricted = plan.has_network and not plan.network.allows_all
        unfiltered = restricted and not await placement.filters(plan.claim.job_id)
        enforced = verify(plan, scope, confined=placement.confines, unfiltered=unfiltered)
        held.gate.sendall(opening(plan))
        held.gate.shutdown(socket.SHUT_WR)
    except (ScopeError, AttemptError, OSError) as error:
        died = has_ended(held.pidfd)
        held.gate.close()
        await exited(held.pidfd)
        await clear_away(plan, placement)
        raise _trouble(error, died=died) from None
    log.info("started", job=plan.claim.job_id, attempt=plan.claim.attempt, unit=plan.unit)
    return Running(plan, held.pidfd, enforced, scope, held.gate)


def _trouble(error: Exception, *, died: bool) -> AttemptError:
    """Why it could not be started, and whether another machine may be able to."""
    if died:
        words = f"the process that was to hold the job ended before it began: {error}"
        return NotStarted(words, "unstarted")
    if isinstance(error, AttemptError):
        return error
    words = f"the job could not be put under its limits: {error}"
    if isinstance(error, NotAllowed):
        return AttemptError(Reason.INTERNAL_ERROR, words)
    return NotStarted(words)


async def _place(plan: Plan, held: Held, placement: Placement) -> None:
    try:
        await placement.place(plan.claim.job_id, held.pidfd, plan.held, network=plan.has_network)
    except ScopeError:
        # A launcher that died right after it had done it: the next one refuses to do it again.
        cgroup = cgroup_of(held.pid)
        if cgroup is None or cgroup.name != plan.unit:
            raise


def verify(plan: Plan, cgroup: Path | None, *, confined: bool, unfiltered: bool = False) -> bool:
    """Read the limits back from the kernel: on a machine without the controllers systemd
    reports success and holds nothing. ``unfiltered``: nobody holds its connections to a policy.
    Raises AttemptError where enforcement is required."""
    missing = list(expected_files(plan.held))
    if confined:
        if cgroup is None or cgroup.name != plan.unit:
            where = "gone" if cgroup is None else f"in {cgroup}"
            raise NotStarted(f"the job's process is {where}, not in {plan.unit}")
        missing = unenforced(plan.held, read_back(cgroup, missing))
    if unfiltered:
        missing.append("IPAddressDeny, so that it may connect to where [network] does not allow")
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
