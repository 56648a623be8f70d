"""The story of one attempt: plan, prepare, start (hold, place, verify, release), watch, publish,
report.

``run`` is the first door. ``resume`` is the second, after a restart: it enters the same rooms
wherever the directory says the story had come to.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from typing import Any

import structlog

from ffmpeg_jobs.bounds import LOG_MAX_BYTES
from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.model import Claim, Media, Outcome, Reason, State
from ffmpeg_jobs.problems import MasterUnreachable, Problem, StaleAttempt
from ffmpeg_worker import jobdir, taking
from ffmpeg_worker.backoff import Backoff
from ffmpeg_worker.config import Config
from ffmpeg_worker.drain import Drains
from ffmpeg_worker.health import Health
from ffmpeg_worker.hold import Nursery
from ffmpeg_worker.lease import Lease, boot_seconds
from ffmpeg_worker.outcome import (
    HANDED_BACK,
    AttemptError,
    conclude,
    given_up,
    outcome_of_error,
    stopped,
)
from ffmpeg_worker.placement import Placement
from ffmpeg_worker.plan import Plan, make_plan
from ffmpeg_worker.prepare import Opened, not_written, prepare
from ffmpeg_worker.publish import deliver, verified
from ffmpeg_worker.report import announce, give_back, report
from ffmpeg_worker.results import Results
from ffmpeg_worker.staging import forget
from ffmpeg_worker.start import NotStarted, clear_away, start
from ffmpeg_worker.steer import restore, scope_of, steer
from ffmpeg_worker.watch import Running, watch

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
    nursery: Nursery = field(default_factory=Nursery)
    health: Health = field(default_factory=Health)
    plans: dict[str, Plan] = field(default_factory=dict)  #: by job directory, oldest first


async def run(plan: Plan, lease: Lease, station: Station) -> None:
    """First door: from a recorded plan to its reported outcome."""
    try:
        plan = await asyncio.to_thread(taking.made_before, plan)
        with await _prepare(plan, lease, station) as opened:
            running = await start(plan, station.placement, station.nursery, opened)
    except AttemptError as error:
        by = error.stopped_by
        if isinstance(error, NotStarted) and station.health.not_started(plan.claim, str(error)):
            by = by or "sick"
            await station.drains.tell_now()
        await end(plan, outcome_of_error(error), by, lease, station)
        return
    station.health.started()
    await finish(running, lease, station)


async def resume(plan: Plan, lease: Lease, station: Station) -> None:
    """Second door: an attempt that another worker process left behind."""
    outcome = jobdir.kept_outcome(plan)
    if outcome is not None:
        _leave_place(lease, station)
        await settle(plan, outcome, lease, station)
    elif jobdir.was_released(plan):
        enforced, scope = await restore(plan, station.placement), scope_of(plan)
        running = Running(plan, jobdir.holder_pidfd(plan), enforced, scope)
        await finish(running, lease, station)
    else:
        _leave_place(lease, station)
        await clear_away(plan, station.placement)
        await hand_back(plan, "the worker was restarted before ffmpeg started", station)


def accept(claim: Claim, config: Config, disk_part_mb: int) -> Plan:
    """Decide and write down; raises AttemptError for what this machine refuses."""
    plan = make_plan(claim, config, disk_part_mb)
    try:
        jobdir.record(plan)
    except OSError as error:
        raise not_written(plan.directory, error) from None
    return plan


async def finish(running: Running, lease: Lease, station: Station) -> None:
    """From a running job to its reported outcome."""
    plan = running.plan
    steering = asyncio.ensure_future(steer(plan, lease, station.placement, station.config))
    try:
        left = partial(_leave_place, lease, station)
        facts = await watch(running, lease, station.placement, left)
    finally:
        steering.cancel()
    _leave_place(lease, station)
    outcome, stopped_by = conclude(facts), facts.stop_asked_by
    if outcome.state is State.COMPLETED:
        try:
            outcome = replace(outcome, media=await publish(plan, lease, station.client))
        except AttemptError as error:
            outcome, stopped_by = given_up(facts, error), error.stopped_by
    if plan.takes and outcome.state is State.FAILED and stopped_by is None:
        taking.refuse(plan)
        stopped_by = taking.UNTAKEN
    await end(plan, outcome, stopped_by, lease, station)


async def end(plan: Plan, outcome: Outcome, by: str | None, lease: Lease, station: Station) -> None:
    """Report the outcome, or hand the attempt back, or drop it: as he wants who had it ended,
    ``by``. Who only asked, and came too late, changes nothing, but for a lost lease; what lies in
    its place is told of also then."""
    _leave_place(lease, station)
    if lease.stop_asked_by == "lost" and outcome.state is not State.COMPLETED:
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
        station.health.ended(plan.claim, outcome, by)
        await settle(plan, outcome, lease, station)


async def hand_back(plan: Plan, why: str, station: Station) -> None:
    """Give the attempt back to the queue, forget the directory."""
    await give_back(plan.claim, why, station.client)
    await _forget(plan)


async def settle(plan: Plan, outcome: Outcome, lease: Lease, station: Station) -> None:
    """Write the outcome down, report it, forget the directory."""
    jobdir.keep_outcome(plan, outcome)
    station.concluded(plan.claim, outcome)
    text = "" if lease.announced else jobdir.tail(plan, "log", LOG_MAX_BYTES)
    await report(plan.claim, outcome, text, station.results)
    log.info(
        "finished",
        job=plan.claim.job_id,
        attempt=plan.claim.attempt,
        state=outcome.state.value,
        reason=outcome.reason.value if outcome.reason else None,
    )
    await _forget(plan)


async def _prepare(plan: Plan, lease: Lease, station: Station) -> Opened:
    """In a thread, so that a slow disk or server holds up nobody else."""
    # Who came before has its disk reserved; of two that come at once, the first.
    earlier = tuple(
        takewhile(lambda other: other.directory != plan.directory, station.plans.values())
    )
    async with _stoppable(lease) as stop:
        opened = await asyncio.to_thread(prepare, plan, stop, earlier)
    unsure = "unsure" if plan.streams and not lease.sure else None
    by = lease.stop_asked_by or unsure
    if by is not None:
        opened.close()
        raise stopped(by)
    return opened


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
    except AttemptError as error:
        if error.reason is Reason.CANCELED and lease.stop_asked_by is not None:
            raise stopped(lease.stop_asked_by) from None
        raise
    finally:
        for each in waits:
            each.cancel()


async def publish(plan: Plan, lease: Lease, client: MasterClient) -> Media | None:
    """Verify the output and put it in its place, only while the attempt is certainly ours and the
    master waits for that.

    Raises AttemptError.
    """
    media = await asyncio.to_thread(verified, plan)
    if jobdir.was_published(plan):
        return media  # an earlier worker came this far, and nothing can change it any more
    backoff = Backoff()
    while await lease.confirmed():
        if not await _announced(plan, lease, client):
            await asyncio.sleep(backoff.pause())
            continue
        async with _stoppable(lease, lease.unsure()) as stop:
            try:
                delivered = await asyncio.to_thread(deliver, plan, stop, lambda: lease.sure)
            except AttemptError as error:
                # Cut off from the master, not from where it goes: again when it is surely ours.
                if error.reason is Reason.CANCELED and lease.stop_asked_by is None:
                    continue
                raise
        if delivered:
            return media
    raise stopped(lease.stop_asked_by or "lost")


async def _announced(plan: Plan, lease: Lease, client: MasterClient) -> bool:
    """Whether the master knows that the output is about to be published, if it is anybody's to
    see; False: it could not be told now, or the attempt is not ours any more, which the lease says.
    """
    if not (plan.publish_to or plan.upload_to):
        return True
    sent_at = boot_seconds()
    try:
        await announce(plan.claim, jobdir.tail(plan, "log", LOG_MAX_BYTES), client)
    except StaleAttempt:
        lease.ask_stop("lost")
        return False
    except (MasterUnreachable, Problem) as trouble:
        log.warning("report_delayed", job=plan.claim.job_id, reason=str(trouble))
        return False
    lease.announced = True
    lease.extend(sent_at, plan.claim.lease_seconds)
    return True


def _leave_place(lease: Lease, station: Station) -> None:
    """What is left to do waits for disks, servers and the master, and needs no cores."""
    if lease.at_work:
        lease.at_work = False
        station.results.ended()


async def fail(plan: Plan, lease: Lease, station: Station) -> None:
    """After a fault of ours: nothing of the attempt goes on, and the job is tried elsewhere."""
    await clear_away(plan, station.placement)
    error = AttemptError(Reason.WORKER_LOST, "the worker failed at it; its log says how")
    await settle(plan, outcome_of_error(error), lease, station)


async def _forget(plan: Plan) -> None:
    """In a thread: a job may have left a million files."""
    await asyncio.to_thread(forget, plan)
