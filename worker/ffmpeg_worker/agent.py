"""The supervisor: adopt what an earlier worker left, claim while there is room, send heartbeats.

One task per attempt, and that task is the story in ``attempt.py``. Two things go sideways,
both through the heartbeat: progress goes up with it, orders come back in its answer.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog

from ffmpeg_jobs import __version__
from ffmpeg_jobs.daemon import tell_systemd, watchdog_seconds
from ffmpeg_jobs.model import Claim, Heartbeat, HeartbeatAnswer, Machine, Order
from ffmpeg_jobs.problems import MasterUnreachable, NotFound, Problem
from ffmpeg_worker import jobdir, metrics
from ffmpeg_worker.attempt import Station, accept, resume, run
from ffmpeg_worker.clean import clean, unrecorded
from ffmpeg_worker.disk import free_mb
from ffmpeg_worker.encoders import probe_encoders
from ffmpeg_worker.lease import Lease, boot_seconds
from ffmpeg_worker.limits import job_id_of
from ffmpeg_worker.machine import memory_mb
from ffmpeg_worker.outcome import AttemptError, outcome_of_error
from ffmpeg_worker.placement import enforced_controllers
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.report import report
from ffmpeg_worker.scopes import ScopeError
from ffmpeg_worker.upkeep import Look, in_words, look, unseen
from ffmpeg_worker.watch import report_of

#: How long a claim is held open by the master when there is no job.
CLAIM_WAIT_SECONDS: Final = 25.0
#: The machine is looked at this often: a job may write some hundred MB in that time.
LOOK_SECONDS: Final = 1.0
#: Before the master is asked again that could not be asked.
RETRY_SECONDS: Final = 2.0

log = structlog.get_logger()


@dataclass(frozen=True)
class Live:
    """An attempt of ours, from its claim to its reported outcome."""

    claim: Claim
    lease: Lease
    plan: Plan | None  #: None: it was refused, and only that is still to be reported


class Agent:
    """The worker's one loop."""

    def __init__(self, station: Station) -> None:
        """Nothing starts before ``run``."""
        self.station = station
        self.config = station.config
        self.live: dict[asyncio.Task[None], Live] = {}
        self.stopping = asyncio.Event()
        self.changed = asyncio.Event()  #: an attempt began or ended
        self.registered = asyncio.Event()
        self.encoders: tuple[str, ...] = ()
        self.heartbeat_seconds = RETRY_SECONDS
        self.trouble: str | None = None  #: why the master could not be asked last time
        self.seen = unseen("the machine was not looked at yet")

    async def run(self) -> None:
        """Work until told to stop. Scopes that run then go on; the next worker adopts them.

        Raises what a loop of ours died of; systemd starts the worker again.
        """
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stopping.set)
        await self.adopt()
        await self._look_after()
        log.info("machine_seen", **in_words(self.seen))
        tell_systemd(READY=1, STATUS=self.status())
        stop = asyncio.ensure_future(self.stopping.wait())
        loops = [
            asyncio.ensure_future(part)
            for part in (
                self._heartbeats(),
                self._claims(),
                self._upkeep(),
                self._probe(),
                self._watchdog(),
            )
        ]
        await asyncio.wait({stop, *loops}, return_when=asyncio.FIRST_COMPLETED)
        tell_systemd(STOPPING=1)
        log.info("stopping", jobs_left_running=len(self.live))
        for part in loops:
            if part.done():
                part.result()

    def status(self) -> str:
        """One line for ``systemctl status``."""
        enforced = enforced_controllers()
        missing = [name for name in ("cpu", "memory", "pids") if name not in enforced]
        limits = f"NOT ENFORCED: {', '.join(missing)}" if missing else "limits enforced"
        held_back = f"held back: {self.seen.held_back}" if self.seen.held_back else None
        jobs = f"{len(self.live)} of {self.config.max_concurrent_jobs} jobs"
        return "; ".join(filter(None, (jobs, limits, held_back, self.trouble)))

    def health(self) -> dict[str, Any]:
        """What ``/health`` shows."""
        return {
            "status": "ok" if self.trouble is None else "degraded",
            "running": len(self.live),
            "max_concurrent_jobs": self.config.max_concurrent_jobs,
            "manager": self.station.placement.manager,
            "enforced": list(enforced_controllers()),
            "master": self.trouble or "ok",
            **in_words(self.seen),
        }

    async def adopt(self) -> None:
        """Take up every attempt that has a directory; stop scopes that have none."""
        self.config.jobs_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for stray in unrecorded(self.config.jobs_directory, time.time()):
            log.info("cleaned", path=str(stray))
        plans = [jobdir.reopen(path) for path in jobdir.recorded(self.config.jobs_directory)]
        ours = {plan.claim.job_id for plan in plans}
        try:
            for unit in await self.station.placement.job_units():
                job_id = job_id_of(unit)
                if job_id is not None and job_id not in ours:
                    log.warning("stray_scope_stopped", unit=unit)
                    await self.station.placement.stop(job_id)
        except ScopeError as error:
            log.error("systemd_unreachable", reason=str(error))
        for plan in plans:
            log.info("adopted", job=plan.claim.job_id, attempt=plan.claim.attempt)
            lease = Lease()
            self._begin(Live(plan.claim, lease, plan), resume(plan, lease, self.station))

    def machine(self) -> Machine:
        """This machine, as it registers with the master."""
        return Machine(
            cpus=self.config.cpus,
            memory_mb=memory_mb(),
            disk_free_mb=free_mb(self.config.state_directory),
            max_concurrent_jobs=self.config.max_concurrent_jobs,
            encoders=self.encoders,
            manager=self.station.placement.manager,
            enforced=enforced_controllers(),
            version=__version__,
            jobs_cpu_percent=self.seen.share.cpu_percent,
            jobs_memory_mb=self.seen.share.memory_mb,
            jobs_disk_mb=self.seen.share.disk_mb,
        )

    async def _claims(self) -> None:
        """Ask for work whenever there is room; the master holds the question open."""
        await self.registered.wait()
        while True:
            while (await self._look_after()).held_back is not None:
                self.changed.clear()
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), LOOK_SECONDS)
            asked_at = boot_seconds()
            try:
                claim = await asyncio.to_thread(
                    self.station.client.claim, self.config.name, CLAIM_WAIT_SECONDS
                )
            except NotFound:  # a master that does not know us: the heartbeat registers again
                self.registered.clear()
                self.changed.set()
                await self.registered.wait()
                continue
            except (MasterUnreachable, Problem) as trouble:
                self._note(trouble)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if claim is not None:
                self._take(claim, Lease(asked_at + claim.lease_seconds))

    async def _upkeep(self) -> None:
        """Look after the machine, as long as we run."""
        while True:
            await self._look_after()
            await asyncio.sleep(LOOK_SECONDS)

    async def _look_after(self) -> Look:
        """Look at the machine, and stop the jobs that fill its disk."""
        before, plans = self.seen, tuple(self.station.plans.values())
        self.seen = await asyncio.to_thread(look, self.config, plans, len(self.live), before)
        metrics.set_seen(self.seen)
        leases = {live.plan.directory: live.lease for live in self.live.values() if live.plan}
        for over in self.seen.overuse:
            lease = leases.get(over.plan.directory)
            if lease is not None and lease.stop_asked_by is None:
                log.warning("disk_overused", job=over.plan.claim.job_id, stop=over.asked_by)
                lease.ask_stop(over.asked_by)
        if self.seen.held_back != before.held_back:
            self._changed()
        return self.seen

    def _take(self, claim: Claim, lease: Lease) -> None:
        """A job was handed to us: decide, write it down, begin."""
        log.info("claimed", job=claim.job_id, attempt=claim.attempt)
        try:
            plan = accept(claim, self.config)
        except AttemptError as error:
            outcome = outcome_of_error(error)
            self.station.concluded(claim, outcome)
            telling = report(claim, outcome, f"{error}\n", self.station.client)
            self._begin(Live(claim, lease, None), telling)
        else:
            self._begin(Live(claim, lease, plan), run(plan, lease, self.station))

    def _begin(self, live: Live, story: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(story)
        self.live[task] = live
        if live.plan is not None:
            self.station.plans[live.plan.directory] = live.plan
        task.add_done_callback(self._ended)
        self._changed()

    def _ended(self, task: asyncio.Task[None]) -> None:
        live = self.live.pop(task)
        if live.plan is not None:
            self.station.plans.pop(live.plan.directory, None)
        self._changed()
        if not task.cancelled() and (error := task.exception()) is not None:
            # A fault of ours. Its lease runs out unreported, and the job is run elsewhere.
            log.error("attempt_crashed", job=live.claim.job_id, exc_info=error)
            stop = asyncio.ensure_future(self._stop_quietly(live.claim.job_id))
            stop.add_done_callback(lambda _: None)

    async def _stop_quietly(self, job_id: str) -> None:
        with suppress(ScopeError):
            await self.station.placement.stop(job_id)

    def _changed(self) -> None:
        metrics.set_running(len(self.live))
        tell_systemd(STATUS=self.status())
        self.changed.set()

    async def _probe(self) -> None:
        """Find out what really encodes here, and register it; remove what dead jobs left. Work
        waits for neither."""
        memory = self.config.state_directory / "encoders.json"
        self.encoders = await asyncio.to_thread(probe_encoders, memory)
        log.info("encoders_found", encoders=list(self.encoders))
        self.registered.clear()
        for path in await asyncio.to_thread(clean, self.config):
            log.info("cleaned", path=str(path))
        await asyncio.Event().wait()

    async def _heartbeats(self) -> None:
        """Tell the master how it goes, and do what it says."""
        while True:
            sent_at = boot_seconds()
            try:
                self._obey(await asyncio.to_thread(self._beat), sent_at)
            except NotFound:
                self.registered.clear()
                continue
            except (MasterUnreachable, Problem) as trouble:
                self._note(trouble)
            with suppress(asyncio.TimeoutError):
                # A new attempt is reported at once: its first heartbeat confirms its lease.
                self.changed.clear()
                await asyncio.wait_for(self.changed.wait(), self.heartbeat_seconds)

    def _beat(self) -> HeartbeatAnswer:
        client, name = self.station.client, self.config.name
        if not self.registered.is_set():
            # A new worker's adopted jobs wait for their heartbeat: their leases run on.
            client.register(name, self.machine())
        reports = tuple(
            report_of(live.plan, live.claim, live.lease.unmet) for live in list(self.live.values())
        )
        disk_free_mb = free_mb(self.config.state_directory)
        return client.heartbeat(
            name,
            Heartbeat(reports, disk_free_mb, free=self.seen.free, held_back=self.seen.held_back),
        )

    def _obey(self, answer: HeartbeatAnswer, sent_at: float) -> None:
        self._note(None)
        self.registered.set()
        self.heartbeat_seconds = answer.heartbeat_seconds
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

    def _note(self, trouble: Exception | None) -> None:
        """Log it when the master goes away, and when it is back; not every time between."""
        before, self.trouble = self.trouble, None if trouble is None else str(trouble)
        if trouble is not None and before is None:
            log.warning("master_unreachable", reason=str(trouble))
        elif trouble is None and before is not None:
            log.info("master_is_back")
        if (before is None) != (trouble is None):
            tell_systemd(STATUS=self.status())

    async def _watchdog(self) -> None:
        """Tell systemd that this loop turns, twice per WatchdogSec."""
        pause = watchdog_seconds()
        while pause is not None:
            tell_systemd(WATCHDOG=1)
            await asyncio.sleep(pause)
        await asyncio.Event().wait()
