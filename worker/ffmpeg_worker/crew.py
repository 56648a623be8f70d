"""The attempts of this worker, each a task that is the story in ``attempt.py``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import structlog

from ffmpeg_jobs.model import DEFAULT_DISK_MB, Claim, HeartbeatAnswer, Order, Queue, Report
from ffmpeg_worker import jobdir
from ffmpeg_worker.attempt import Station, accept, fail, resume, run
from ffmpeg_worker.calls import ScopeError
from ffmpeg_worker.lease import Lease
from ffmpeg_worker.limits import job_id_of
from ffmpeg_worker.outcome import AttemptError, outcome_of_error
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.preemption import gives_way
from ffmpeg_worker.report import give_back, report
from ffmpeg_worker.reservation import Overuse
from ffmpeg_worker.watch import report_of

STANDS_STILL: Final = "it stands still while a live job has its place"

log = structlog.get_logger()


@dataclass(frozen=True)
class Live:
    """An attempt of ours, from its claim to its reported outcome."""

    claim: Claim
    lease: Lease
    plan: Plan | None  #: None: it was refused, and only that is still to be reported

    @property
    def unmet(self) -> str | None:
        """Why it is held otherwise than the master wants."""
        return self.lease.unmet or (STANDS_STILL if self.lease.gives_way else None)


class Crew:
    """Who is at work; ``changed`` is called when an attempt began or ended."""

    def __init__(self, station: Station, changed: Callable[[], None]) -> None:
        self.station = station
        self.live: dict[asyncio.Task[None], Live] = {}
        self.disk_part_mb = DEFAULT_DISK_MB  #: of each place, as the machine was seen last
        self._changed = changed

    def __len__(self) -> int:
        return len(self.live)

    @property
    def places_taken(self) -> int:
        """Places that are taken: by those whose ffmpeg runs, or will; and of those that do what
        comes after it, by as many as are more than there are places."""
        at_work = sum(live.lease.at_work for live in self.live.values())
        return at_work + max(0, len(self.live) - at_work - self.station.config.max_concurrent_jobs)

    def leaving(self) -> tuple[tuple[str, int], ...]:
        """Job and number of each attempt whose ffmpeg runs no more."""
        rows = (live for live in self.live.values() if not live.lease.at_work)
        return tuple((live.claim.job_id, live.claim.attempt) for live in rows)

    async def adopt(self) -> None:
        """Take up every attempt that has a directory; stop scopes that have none."""
        jobs = self.station.config.jobs_directory
        jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        plans = jobdir.recorded(jobs)
        await self._stop_strays({plan.claim.job_id for plan in plans})
        for plan in plans:
            log.info("adopted", job=plan.claim.job_id, attempt=plan.claim.attempt)
            lease = Lease(jobdir.kept_lease(plan))
            story = self._after_earlier(plan.claim.job_id, resume(plan, lease, self.station))
            self._begin(Live(plan.claim, lease, plan), story)

    async def _stop_strays(self, ours: set[str]) -> None:
        try:
            units = await self.station.placement.job_units()
        except ScopeError as error:
            log.error("systemd_unreachable", reason=str(error))
            return
        for unit in units:
            job_id = job_id_of(unit)
            if job_id is None or job_id in ours:
                continue
            log.warning("stray_scope_stopped", unit=unit)
            try:
                await self.station.placement.stop(job_id)
            except ScopeError as error:
                log.error("stop_failed", unit=unit, reason=str(error))

    def take(self, claim: Claim, lease: Lease, held_back: str | None = None) -> None:
        """A job was handed to us: decide, write it down, begin; or give it back, if jobs are
        ``held_back``, and why."""
        log.info("claimed", job=claim.job_id, attempt=claim.attempt)
        drain, health = self.station.drains.now, self.station.health
        why_not = drain.why if drain is not None else held_back
        if why_not is not None:  # it was on its way when that began
            returning = give_back(claim, why_not, self.station.client)
            self._begin(Live(claim, lease, None), returning)
            return
        health.took(claim)
        try:
            plan = accept(claim, self.station.config, self.disk_part_mb)
        except AttemptError as error:
            outcome = outcome_of_error(error)
            self.station.concluded(claim, outcome)
            health.ended(claim, outcome, error.stopped_by)
            telling = report(claim, outcome, f"{error}\n", self.station.results)
            self._begin(Live(claim, lease, None), telling)
        else:
            story = self._after_earlier(claim.job_id, run(plan, lease, self.station))
            self._begin(Live(claim, lease, plan), story)

    def _after_earlier(
        self, job_id: str, story: Coroutine[Any, Any, None]
    ) -> Coroutine[Any, Any, None]:
        """The story, told when every earlier attempt at the job has ended here: its lease is
        lost, if we heard of that or not, and both have one scope's name."""
        earlier = [task for task, live in self.live.items() if live.claim.job_id == job_id]
        for task in earlier:
            self.live[task].lease.ask_stop("lost")

        async def after() -> None:
            try:
                await asyncio.wait(earlier)
                await story
            finally:
                story.close()

        return after() if earlier else story

    def leases(self) -> list[Lease]:
        """The lease of each."""
        return [live.lease for live in self.live.values()]

    def queues(self) -> dict[str, Queue]:
        """The queue that each job came from whose ffmpeg runs, or will; oldest first."""
        at_work = (live for live in self.live.values() if live.plan and live.lease.at_work)
        return {live.claim.job_id: live.claim.job.queue for live in at_work}

    def reports(self) -> tuple[Report, ...]:
        """How each stands now; may be called in a thread."""
        return tuple(
            report_of(live.plan, live.claim, live.unmet) for live in list(self.live.values())
        )

    def obey(self, answer: HeartbeatAnswer, sent_at: float) -> None:
        """Do what the master says of each; the heartbeat was sent at ``sent_at`` (boot seconds)."""
        self.station.drains.obey(answer.drain, answer.drain_seconds)
        leases = {
            (live.claim.job_id, live.claim.attempt): live.lease for live in self.live.values()
        }
        for row in answer.orders:
            lease = leases.get((row.job_id, row.attempt))
            if lease is None:
                continue
            if row.order is Order.LOST:
                lease.ask_stop("lost")
                continue
            lease.extend(sent_at, answer.lease_seconds)
            lease.want(row.wanted)
            if row.order is Order.CANCEL:
                lease.ask_stop("cancel")

    def stop_overuse(self, rows: tuple[Overuse, ...]) -> None:
        """End the jobs that hold too much disk."""
        leases = {live.plan.directory: live.lease for live in self.live.values() if live.plan}
        for over in rows:
            lease = leases.get(over.plan.directory)
            over_meanwhile = jobdir.is_concluded(over.plan)
            if lease is not None and lease.stop_asked_by is None and not over_meanwhile:
                log.warning("disk_overused", job=over.plan.claim.job_id, stop=over.asked_by)
                lease.ask_stop(over.asked_by)

    def preempt(self, slots: int) -> None:
        """Have batch jobs stand still for live ones, or go on."""
        still = gives_way(self.queues(), slots)
        for live in self.live.values():
            gives = live.claim.job_id in still
            if live.lease.gives_way is not gives:
                log.info("preempted", job=live.claim.job_id, stands_still=gives)
                live.lease.give_way(gives)

    async def hand_back(self, within_seconds: float) -> None:
        """Wait for those to end whose time is over."""
        for lease in self.leases():
            self.station.drains.hold(lease)
        if self.live:
            await asyncio.wait(list(self.live), timeout=within_seconds)

    def _begin(self, live: Live, story: Coroutine[Any, Any, None]) -> None:
        live.lease.at_work = live.lease.at_work and live.plan is not None
        task = asyncio.ensure_future(story)
        self.live[task] = live
        if live.plan is not None:
            self.station.plans[live.plan.directory] = live.plan
        self.station.drains.hold(live.lease)
        task.add_done_callback(self._ended)
        self._changed()

    def _ended(self, task: asyncio.Task[None]) -> None:
        live = self.live.pop(task)
        if live.plan is not None:
            self.station.plans.pop(live.plan.directory, None)
        self.station.health.left(live.claim)
        self._changed()
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, OSError):  # of the machine: a full disk, a folder that went away
            log.error("attempt_failed", job=live.claim.job_id, reason=str(error))
        else:
            log.error("attempt_crashed", job=live.claim.job_id, exc_info=error)
        if live.plan is not None:
            self._begin(
                Live(live.claim, live.lease, None), fail(live.plan, live.lease, self.station)
            )
