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
from itertools import count
from typing import Any, Final

import structlog

from ffmpeg_jobs import __version__
from ffmpeg_jobs.daemon import feed_watchdog, tell_systemd
from ffmpeg_jobs.model import Claim, Heartbeat, HeartbeatAnswer, Machine, Order
from ffmpeg_worker import jobdir, metrics
from ffmpeg_worker.attempt import Station, accept, resume, run
from ffmpeg_worker.clean import keep_clean, unrecorded
from ffmpeg_worker.dialogue import Dialogue, Voice
from ffmpeg_worker.disk import free_mb
from ffmpeg_worker.encoders import keep_probing
from ffmpeg_worker.lease import Lease
from ffmpeg_worker.limits import job_id_of
from ffmpeg_worker.machine import memory_mb
from ffmpeg_worker.outcome import AttemptError, outcome_of_error
from ffmpeg_worker.placement import enforced_controllers
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.report import give_back, report
from ffmpeg_worker.scopes import ScopeError
from ffmpeg_worker.upkeep import Look, in_words, look, unseen
from ffmpeg_worker.watch import report_of

#: The machine is looked at this often: a job may write some hundred MB in that time.
LOOK_SECONDS: Final = 1.0
#: While no job runs, one of so many is enough: for /health and the metrics.
IDLE_LOOKS: Final = 5
#: How long a shutdown waits for what is handed back; under TimeoutStopSec of our unit.
SHUTDOWN_SECONDS: Final = 20.0

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
        self.drains = station.drains
        self.changed = asyncio.Event()  #: an attempt began or ended, or the drain is another
        self.reload = asyncio.Event()
        self.encoders: tuple[str, ...] = ()
        voice = Voice(
            self.machine, self.heartbeat, self._room, self._take, self._obey, self._tell_status
        )
        self.dialogue = Dialogue(station.client, station.config.name, voice)
        self.seen = unseen("the machine was not looked at yet")

    async def run(self) -> None:
        """Work until told to stop. Scopes that run then go on; the next worker adopts them.

        Raises what a loop of ours died of; systemd starts the worker again.
        """
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stopping.set)
        for name, action in (
            (signal.SIGHUP, self.reload.set),
            (signal.SIGUSR1, self.drains.on_signal),
            (signal.SIGUSR2, self.drains.on_spot_signal),
        ):
            loop.add_signal_handler(name, action)
        await self.adopt()
        await self._look_after()
        log.info("machine_seen", **in_words(self.seen))
        tell_systemd(READY=1, STATUS=self.status())
        stop = asyncio.ensure_future(self.stopping.wait())
        loops = [
            asyncio.ensure_future(part)
            for part in (
                self.dialogue.heartbeats(),
                self.dialogue.claims(),
                self.drains.watch(self._leases, self._changed),
                self._upkeep(),
                keep_probing(self.config.encoders_file, self.reload, self._found),
                keep_clean(self.config),
                feed_watchdog(),
            )
        ]
        await asyncio.wait({stop, *loops}, return_when=asyncio.FIRST_COMPLETED)
        tell_systemd(STOPPING=1)
        if self.stopping.is_set() and await self.drains.machine_stops():
            await self._hand_back_all()
        log.info("stopping", jobs_left_running=len(self.live))
        for part in loops:
            if part.done():
                part.result()

    def status(self) -> str:
        """One line for ``systemctl status``."""
        enforced = enforced_controllers()
        missing = [name for name in ("cpu", "memory", "pids") if name not in enforced]
        limits = f"NOT ENFORCED: {', '.join(missing)}" if missing else "limits enforced"
        held_back = f"held back: {self.held_back}" if self.held_back else None
        jobs = f"{len(self.live)} of {self.config.max_concurrent_jobs} jobs"
        return "; ".join(filter(None, (jobs, limits, held_back, self.dialogue.trouble)))

    @property
    def held_back(self) -> str | None:
        """Why no new job is taken now; None: it is."""
        drain = self.drains.now
        if drain is None:
            return self.seen.held_back
        return f"{'draining' if self.live else 'drained'}: {drain.why}"

    def health(self) -> dict[str, Any]:
        """What ``/health`` shows."""
        return {
            "status": "ok" if self.dialogue.trouble is None else "degraded",
            "running": len(self.live),
            "max_concurrent_jobs": self.config.max_concurrent_jobs,
            "manager": self.station.placement.manager,
            "enforced": list(enforced_controllers()),
            "master": self.dialogue.trouble or "ok",
            "draining": self.drains.now is not None,
            **in_words(self.seen),
            "held_back": self.held_back,
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

    async def _room(self) -> None:
        """Wait until a job may be taken."""
        while (await self._look_after()).held_back is not None or self.drains.now is not None:
            self.changed.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.changed.wait(), LOOK_SECONDS)

    async def _upkeep(self) -> None:
        """Look after the machine, as long as we run; less often while nothing does."""
        for second in count():
            if self.live or second % IDLE_LOOKS == 0:
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
        if self.drains.now is not None:  # it was on its way when the drain began
            returning = give_back(claim, self.drains.now.why, self.station.client)
            self._begin(Live(claim, lease, None), returning)
            return
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
        self.drains.hold(live.lease)
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
        metrics.set_running(len(self.live), draining=self.drains.now is not None)
        self._tell_status()
        self.changed.set()
        self.dialogue.news.set()

    def _tell_status(self) -> None:
        tell_systemd(STATUS=self.status())

    def _leases(self) -> list[Lease]:
        return [live.lease for live in self.live.values()]

    async def _hand_back_all(self) -> None:
        """The machine goes down: what still runs ends here and goes on elsewhere."""
        for live in list(self.live.values()):
            self.drains.hold(live.lease)
        if self.live:
            await asyncio.wait(list(self.live), timeout=SHUTDOWN_SECONDS)

    def _found(self, encoders: tuple[str, ...]) -> None:
        self.encoders = encoders
        self.dialogue.register_anew()

    def heartbeat(self) -> Heartbeat:
        """How it goes."""
        reports = tuple(
            report_of(live.plan, live.claim, live.lease.unmet) for live in list(self.live.values())
        )
        return Heartbeat(
            reports,
            free_mb(self.config.state_directory),
            draining=self.drains.now is not None,
            free=self.seen.free,
            held_back=self.held_back,
        )

    def _obey(self, answer: HeartbeatAnswer, sent_at: float) -> None:
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
