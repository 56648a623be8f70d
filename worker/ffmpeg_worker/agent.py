"""The supervisor: adopt what an earlier worker left, claim while there is room, send heartbeats.

One task per attempt, and that task is the story in ``attempt.py``. Two things go sideways,
both through the heartbeat: progress goes up with it, orders come back in its answer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from itertools import count
from typing import Any, Final

import structlog

from ffmpeg_jobs import __version__
from ffmpeg_jobs.daemon import feed_watchdog, tell_systemd
from ffmpeg_jobs.model import Heartbeat, Machine
from ffmpeg_worker import metrics
from ffmpeg_worker.admission import no_slot
from ffmpeg_worker.attempt import Station
from ffmpeg_worker.clean import keep_clean
from ffmpeg_worker.crew import Crew
from ffmpeg_worker.dialogue import Dialogue, Voice
from ffmpeg_worker.disk import free_mb
from ffmpeg_worker.encoders import keep_probing
from ffmpeg_worker.machine import memory_mb
from ffmpeg_worker.preemption import takes_live
from ffmpeg_worker.surroundings import check_user_bus
from ffmpeg_worker.upkeep import in_words, look, unseen

#: The machine is looked at this often: a job may write some hundred MB in that time.
LOOK_SECONDS: Final = 1.0
#: While no job runs, one of so many is enough: for /health and the metrics.
IDLE_LOOKS: Final = 5
#: How long a shutdown waits for what is handed back; under TimeoutStopSec of our unit.
SHUTDOWN_SECONDS: Final = 20.0

log = structlog.get_logger()


class Agent:
    """The worker's one loop."""

    def __init__(self, station: Station) -> None:
        """Nothing starts before ``run``."""
        self.station = station
        self.config = station.config
        self.crew = Crew(station, self._changed)
        self.stopping = asyncio.Event()
        self.drains = station.drains
        self.changed = asyncio.Event()  #: an attempt began or ended, or the drain is another
        self.reload = asyncio.Event()
        self.encoders: tuple[str, ...] = ()
        voice = Voice(
            self.machine,
            self.heartbeat,
            lambda: (self.drains.now is not None, self.held_back),
            self._room,
            lambda: self._places,
            self.crew.leaving,
            lambda claim, lease: self.crew.take(claim, lease, self._unfit),
            self.crew.obey,
            self._tell_status,
        )
        self.dialogue = Dialogue(station.results, station.config.name, voice)
        self.drains.tell_now = self.dialogue.tell_now
        station.results.freed = self.changed.set
        station.results.soon = lambda: not self.dialogue.asking and self.takes_none is None
        station.results.ended = self._left
        self.seen = unseen("the machine was not looked at yet")
        self._seen_at = float("-inf")  #: by time.monotonic()
        #: What holds jobs back, but for a drain, and what to warn of, as they were told last.
        self._told: tuple[str | None, str | None] = (None, None)

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
        began = time.time()
        await self.crew.adopt()
        await self._look_after()
        log.info("machine_seen", **in_words(self.seen))
        tell_systemd(READY=1, STATUS=self.status())
        stop = asyncio.ensure_future(self.stopping.wait())
        loops = [
            asyncio.ensure_future(part)
            for part in (
                self.dialogue.heartbeats(),
                self.dialogue.claims(),
                self.drains.watch(self.crew.leases, self._changed),
                self._upkeep(),
                keep_probing(self.config.encoders_file, self.reload, self._found),
                keep_clean(self.config, began),
                feed_watchdog(),
            )
        ]
        await asyncio.wait({stop, *loops}, return_when=asyncio.FIRST_COMPLETED)
        tell_systemd(STOPPING=1)
        if self.stopping.is_set() and await self.drains.machine_stops():
            await self.crew.hand_back(SHUTDOWN_SECONDS)
        log.info("stopping", jobs_left_running=len(self.crew))
        for part in loops:
            if part.done():
                part.result()

    def status(self) -> str:
        """One line for ``systemctl status``."""
        enforced = self.station.placement.enforced()
        missing = [name for name in ("cpu", "memory", "pids") if name not in enforced]
        limits = f"NOT ENFORCED: {', '.join(missing)}" if missing else "limits enforced"
        held_back = f"held back: {self.takes_none}" if self.takes_none else None
        jobs = f"{len(self.crew)} of {self.config.max_concurrent_jobs} jobs"
        trial = None if held_back else self.station.health.trial
        parts = (jobs, limits, self.seen.warning, held_back, trial, self.dialogue.trouble)
        return "; ".join(filter(None, parts))

    @property
    def held_back(self) -> str | None:
        """Why no new job is taken, whatever runs here: what the master is told."""
        drain = self.drains.now
        if drain is not None:
            return f"{'draining' if len(self.crew) else 'drained'}: {drain.why}"
        return self._unfit

    @property
    def _unfit(self) -> str | None:
        return self.seen.held_back or self.station.health.held_back

    @property
    def full(self) -> str | None:
        """Why there is no room beside what runs; None: there is, if only for a live job."""
        if self.station.health.under_trial:
            return self.station.health.trial
        if self._places > 0:
            return self.seen.full
        return None if self._makes_room() else no_slot(self.config.max_concurrent_jobs)

    @property
    def takes_none(self) -> str | None:
        """Why no job is asked for now, for people."""
        return self.held_back or self.full

    def health(self) -> dict[str, Any]:
        """What ``/health`` shows."""
        well = self.dialogue.trouble is None and not self.sick
        return {
            "status": "ok" if well else "degraded",
            "running": len(self.crew),
            "max_concurrent_jobs": self.config.max_concurrent_jobs,
            "manager": self.station.placement.manager,
            "enforced": list(self.station.placement.enforced()),
            "master": self.dialogue.trouble or "ok",
            "draining": self.drains.now is not None,
            **in_words(self.seen),
            "held_back": self.takes_none,
            "on_trial": self.station.health.trial,
        }

    @property
    def sick(self) -> bool:
        """Whether this machine could not do its work as it should."""
        return bool(self.seen.folders.faults) or self.station.health.trial is not None

    def machine(self) -> Machine:
        """This machine, as it registers with the master."""
        return Machine(
            cpus=self.config.cpus,
            memory_mb=memory_mb(),
            disk_free_mb=free_mb(self.config.state_directory),
            max_concurrent_jobs=self.config.max_concurrent_jobs,
            encoders=self.encoders,
            manager=self.station.placement.manager,
            enforced=self.station.placement.enforced(),
            version=__version__,
            jobs_cpu_percent=self.seen.share.cpu_percent,
            jobs_memory_mb=self.seen.share.memory_mb,
            jobs_disk_mb=self.seen.share.disk_mb,
            preempts=self.config.live_preempts_batch,
            require_enforcement=self.config.require_enforcement,
            labels=dict(label.split("=", 1) for label in self.config.labels),
            input_roots=self.seen.folders.usable("input_roots", self.config.input_roots),
            output_roots=self.seen.folders.usable("output_roots", self.config.output_roots),
        )

    async def _room(self) -> int:
        """Wait until a job may be taken; how many places are free for others than live ones."""
        await self._look_before_asking()
        while self.takes_none is not None:
            self.changed.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.changed.wait(), LOOK_SECONDS)
            await self._look_before_asking()
        return self._places

    @property
    def _places(self) -> int:
        places = max(0, self.config.max_concurrent_jobs - self.crew.places_taken)
        return min(places, 1) if self.station.health.trial else places

    def _makes_room(self) -> bool:
        """Whether a batch job would give way to a live one, which is all that the master gives
        to a full machine that preempts."""
        preempts = self.config.live_preempts_batch and self.seen.full is None
        return preempts and takes_live(self.crew.queues(), self.config.max_concurrent_jobs)

    async def _look_before_asking(self) -> None:
        """A look that let jobs in counts for its time; one that kept them out may be outdated."""
        outdated = time.monotonic() - self._seen_at >= LOOK_SECONDS
        if outdated or self.seen.held_back is not None or self.seen.full is not None:
            await self._look_after()

    async def _upkeep(self) -> None:
        """Look after the machine, as long as we run; less often while nothing does."""
        for second in count():
            seldom = second % IDLE_LOOKS == 0
            if len(self.crew) or seldom:
                await self._look_after()
            if self.config.manager == "user":
                await asyncio.to_thread(check_user_bus, os.getuid(), ask=seldom or self.sick)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look_after(self) -> None:
        """Look at the machine, and stop the jobs that fill its disk."""
        before, plans = self.seen, tuple(self.station.plans.values())
        taken = self.crew.places_taken
        self.seen = await asyncio.to_thread(look, self.config, plans, taken, before)
        self._seen_at = time.monotonic()
        if self.seen.folders.broken != before.folders.broken:
            self.dialogue.register_anew()
        part_mb = self.seen.share.disk_mb // self.config.max_concurrent_jobs
        self.crew.disk_part_mb = max(1, part_mb)
        metrics.set_seen(self.seen)
        metrics.set_held_back(self.held_back, sick=self.sick)
        self.crew.stop_overuse(self.seen.overuse)
        self._tell_holds()

    def _tell_holds(self) -> None:
        """A line when jobs begin to be held back, and one when they are no more; a drain has its
        own. Another figure is no news to the log, nor to the master."""
        before, now = self._told, (self._unfit, self.seen.warning)
        self._told = now
        if now[1] is not None and before[1] is None:
            log.warning("disk_nearly_full", used_percent=self.seen.disk_used_percent)
        if (now[0] is None) == (before[0] is None):
            if now != before:
                self._tell_status()
            return
        if now[0] is not None:
            log.warning("held_back", why=now[0])
        else:
            log.info("takes_jobs_again", on_trial=self.station.health.trial)
        self._changed()

    def _changed(self) -> None:
        metrics.set_running(len(self.crew), draining=self.drains.now is not None)
        self._preempt()
        self._tell_status()
        self.changed.set()
        self.dialogue.news.set()

    def _left(self) -> None:
        """An attempt's ffmpeg runs no more: its place is another's."""
        self._preempt()
        self.changed.set()
        if self.dialogue.asking and self.dialogue.asked_places == 0:
            self.dialogue.news.set()  # the claim at the master brings live jobs alone

    def _preempt(self) -> None:
        if self.config.live_preempts_batch:
            self.crew.preempt(self.config.max_concurrent_jobs)

    def _tell_status(self) -> None:
        tell_systemd(STATUS=self.status())

    def _found(self, encoders: tuple[str, ...]) -> None:
        self.encoders = encoders
        self.dialogue.register_anew()

    def heartbeat(self) -> Heartbeat:
        """How it goes."""
        return Heartbeat(
            self.crew.reports(),
            free_mb(self.config.state_directory),
            free=self.seen.free,
        )
