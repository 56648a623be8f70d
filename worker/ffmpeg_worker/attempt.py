"""The story of one attempt: plan, prepare, hold, place, release, watch, publish, report.

``run`` is the first door. ``resume`` is the second, after a restart: it enters the same rooms
wherever the directory says the story had come to.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.util import cache_from_source
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import structlog

from ffmpeg_jobs.bounds import LOG_MAX_BYTES
from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.model import Claim, Media, Outcome, Reason, State
from ffmpeg_worker import holder, jobdir
from ffmpeg_worker.cgroup import cgroup_of, read_back
from ffmpeg_worker.config import Config
from ffmpeg_worker.drain import Drains
from ffmpeg_worker.lease import Lease
from ffmpeg_worker.limits import CONTROLLERS, expected_files, unenforced
from ffmpeg_worker.outcome import (
    HANDED_BACK,
    AttemptError,
    conclude,
    given_up,
    outcome_of_error,
    stopped,
)
from ffmpeg_worker.placement import Placement
from ffmpeg_worker.plan import Plan, make_plan, opening
from ffmpeg_worker.prepare import prepare
from ffmpeg_worker.publish import deliver, verified
from ffmpeg_worker.report import give_back, report
from ffmpeg_worker.results import Results
from ffmpeg_worker.scopes import ScopeError, Unanswered
from ffmpeg_worker.steer import restore, steer
from ffmpeg_worker.watch import Running, exited, watch

HOLDER: Final = Path(holder.__file__)
#: Each start would compile it anew; an upgrade takes this away for a moment.
COMPILED: Final = Path(cache_from_source(holder.__file__))

log = structlog.get_logger()


@dataclass(frozen=True)
class Station:
    """What every attempt on this machine shares."""

    config: Config
    placement: Placement
    client: MasterClient
    results: Results
    drains: Drains
    concluded: Callable[[Claim, Outcome], None]  #: told of every outcome, for the metrics
    plans: dict[str, Plan] = field(default_factory=dict)  #: by job directory, oldest first

    @property
    def enforces(self) -> bool:
        """Whether this machine holds jobs to their limits."""
        return set(CONTROLLERS) <= set(self.placement.enforced())


@dataclass(frozen=True)
class Held:
    """A holder that waits at its gate: our child, in our own cgroup."""

    pid: int
    pidfd: int
    gate: int


async def run(plan: Plan, lease: Lease, station: Station) -> None:
    """First door: from a recorded plan to its reported outcome."""
    try:
        await _prepare(plan, lease, station)
        running = await start(plan, station.placement)
    except AttemptError as error:
        outcome = outcome_of_error(error, enforced=station.enforces)
        await end(plan, outcome, lease.stop_asked_by, station)
        return
    await finish(running, lease, station)


async def resume(plan: Plan, lease: Lease, station: Station) -> None:
    """Second door: an attempt that another worker process left behind."""
    outcome = jobdir.kept_outcome(plan)
    if outcome is not None:
        await settle(plan, outcome, station)
    elif jobdir.was_released(plan):
        enforced = await restore(plan, station.placement)
        running = Running(plan, jobdir.holder_pidfd(plan), enforced)
        await finish(running, lease, station)
    else:
        await _clear_away(plan, station.placement)
        await hand_back(plan, "the worker was restarted before ffmpeg started", station)


def accept(claim: Claim, config: Config) -> Plan:
    """Decide and write down; raises AttemptError for what this machine refuses."""
    plan = make_plan(claim, config)
    try:
        jobdir.record(plan)
    except OSError as error:
        raise AttemptError(
            Reason.DISK_FULL, f"cannot write the job directory {plan.directory}: {error.strerror}"
        ) from None
    return plan


async def start(plan: Plan, placement: Placement) -> Running:
    """Hold, place, verify, release. Raises AttemptError, and then nothing of it is left."""
    try:
        held = hold(plan)
    except OSError as error:
        words = f"the machine cannot start a process for the job: {error.strerror}"
        raise AttemptError(Reason.WORKER_LOST, words) from None
    try:
        await _place(plan, held, placement)
        enforced = verify(plan, held.pid, confined=placement.confines)
        os.write(held.gate, opening(plan))
    except (ScopeError, AttemptError, OSError) as error:
        os.close(held.gate)
        await exited(held.pidfd)
        await _clear_away(plan, placement)
        if isinstance(error, AttemptError):
            raise
        # With a bus or a launcher that is gone this machine is ill, and another may be well.
        reason = Reason.WORKER_LOST if isinstance(error, Unanswered) else Reason.INTERNAL_ERROR
        words = f"the job could not be put under its limits: {error}"
        raise AttemptError(reason, words) from None
    os.close(held.gate)
    log.info("started", job=plan.claim.job_id, attempt=plan.claim.attempt, unit=plan.unit)
    return Running(plan, held.pidfd, enforced)


async def _place(plan: Plan, held: Held, placement: Placement) -> None:
    try:
        await placement.place(plan.claim.job_id, held.pidfd, plan.held)
    except ScopeError:
        # A launcher that died right after it had done it: the next one refuses to do it again.
        cgroup = cgroup_of(held.pid)
        if cgroup is None or cgroup.name != plan.unit:
            raise


def hold(plan: Plan) -> Held:
    """Start the holder: it waits at the gate, our child, in our own cgroup.

    SIGTERM is blocked from before its first instruction on: a stop must not take its last words
    away. posix_spawn can do that without running our code between fork and exec.
    """
    program = COMPILED if COMPILED.exists() else HOLDER
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
    except OSError:
        os.close(gate)
        raise
    finally:
        os.close(reading)
    return Held(pid, os.pidfd_open(pid), gate)


def verify(plan: Plan, pid: int, *, confined: bool) -> bool:
    """Read the limits back from the kernel: on a machine without the controllers systemd
    reports success and holds nothing. Raises AttemptError where enforcement is required."""
    missing = list(expected_files(plan.held))
    if confined:
        cgroup = cgroup_of(pid)
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


async def finish(running: Running, lease: Lease, station: Station) -> None:
    """From a running job to its reported outcome."""
    plan = running.plan
    steering = asyncio.ensure_future(steer(plan, lease, station.placement, station.config))
    try:
        facts = await watch(running, lease, station.placement)
    finally:
        steering.cancel()
    outcome = conclude(facts)
    if outcome.state is State.COMPLETED:
        try:
            outcome = replace(outcome, media=await publish(plan, lease))
        except AttemptError as error:
            outcome = given_up(facts, error)
    lost = "lost" if lease.stop_asked_by == "lost" else None
    await end(plan, outcome, lost or facts.stop_asked_by or lease.stop_asked_by, station)


async def end(plan: Plan, outcome: Outcome, by: str | None, station: Station) -> None:
    """Report the outcome, or hand the attempt back, or drop it: as he wants who asked for the
    end, ``by``."""
    if by == "lost":
        log.warning("attempt_lost", job=plan.claim.job_id, attempt=plan.claim.attempt)
        await _forget(plan)
        return
    # systemd stops scopes before it tells the worker, and starts none any more.
    blameless = outcome.reason in (Reason.WORKER_LOST, Reason.INTERNAL_ERROR)
    if by is None and blameless and await station.drains.machine_stops():
        by = "shutdown"
        jobdir.note_stop(plan, by)
    if by in HANDED_BACK and outcome.state is not State.COMPLETED:
        await hand_back(plan, HANDED_BACK[by], station)
    else:
        await settle(plan, outcome, station)


async def hand_back(plan: Plan, why: str, station: Station) -> None:
    """Give the attempt back to the queue, forget the directory."""
    await give_back(plan.claim, why, station.client)
    await _forget(plan)


async def settle(plan: Plan, outcome: Outcome, station: Station) -> None:
    """Write the outcome down, report it, forget the directory."""
    jobdir.keep_outcome(plan, outcome)
    station.concluded(plan.claim, outcome)
    await report(plan.claim, outcome, jobdir.tail(plan, "log", LOG_MAX_BYTES), station.results)
    log.info(
        "finished",
        job=plan.claim.job_id,
        attempt=plan.claim.attempt,
        state=outcome.state.value,
        reason=outcome.reason.value if outcome.reason else None,
    )
    await _forget(plan)


async def _prepare(plan: Plan, lease: Lease, station: Station) -> None:
    """In a thread, so that a slow disk or server holds up nobody else."""
    # Who came before has its disk reserved; of two that come at once, the first.
    earlier = tuple(takewhile(lambda other: other != plan, station.plans.values()))
    async with _stoppable(lease) as stop:
        await asyncio.to_thread(prepare, plan, station.config, stop, earlier)
    if lease.stop_asked_by is not None:
        raise stopped(lease.stop_asked_by)


@asynccontextmanager
async def _stoppable(
    lease: Lease, *others: Coroutine[Any, Any, None]
) -> AsyncIterator[threading.Event]:
    """What a thread looks at, to break off when somebody wants the attempt to end, or when one
    of ``others`` is over. If somebody does, that is then why it ended."""
    stop = threading.Event()
    waits = [asyncio.ensure_future(wait) for wait in (lease.stop_asked(), *others)]
    for each in waits:
        each.add_done_callback(lambda task: None if task.cancelled() else stop.set())
    try:
        yield stop
    except AttemptError:
        if lease.stop_asked_by is not None:
            raise stopped(lease.stop_asked_by) from None
        raise
    finally:
        for each in waits:
            each.cancel()


async def publish(plan: Plan, lease: Lease) -> Media | None:
    """Verify the output and put it in its place, only while the attempt is certainly ours.

    Raises AttemptError.
    """
    media = await asyncio.to_thread(verified, plan)
    while await lease.confirmed():
        async with _stoppable(lease, lease.unsure()) as stop:
            try:
                await asyncio.to_thread(deliver, plan, stop)
            except AttemptError:
                # Cut off from the master, not from where it goes: again when it is surely ours.
                if lease.stop_asked_by is None and stop.is_set():
                    continue
                raise
            return media
    raise stopped(lease.stop_asked_by or "lost")


async def fail(plan: Plan, station: Station) -> None:
    """After a fault of ours: nothing of the attempt goes on, and the job is tried elsewhere."""
    await _clear_away(plan, station.placement)
    error = AttemptError(Reason.WORKER_LOST, "the worker failed at it; its log says how")
    await settle(plan, outcome_of_error(error, enforced=station.enforces), station)


async def _clear_away(plan: Plan, placement: Placement) -> None:
    with suppress(ScopeError):
        await placement.stop(plan.claim.job_id)


async def _forget(plan: Plan) -> None:
    """In a thread: a job may have left a million files."""
    if plan.staged:
        with suppress(OSError):  # the timer's cleaning tries again
            Path(plan.staged).unlink(missing_ok=True)
    await asyncio.to_thread(jobdir.remove, Path(plan.directory))
