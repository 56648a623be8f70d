"""Why the worker takes no new job, and until when those that run may go on.

People ask for it, here (``control.py``) or at the master, a cloud announces that it takes the
machine back, or the machine is shut down. Whoever is the most urgent counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from ffmpeg_worker import control
from ffmpeg_worker.config import Config
from ffmpeg_worker.lease import Lease

#: How often the files are looked at.
LOOK_SECONDS: Final = 1.0

#: Two moments that the master tells are one, if no further apart: it tells how long it is to
#: then, and its answer takes time.
SAME_SECONDS: Final = 10.0

SPOT: Final = "the cloud takes this machine back"

log = structlog.get_logger()


@dataclass(frozen=True)
class Drain:
    """No new jobs; what runs at ``until`` (Unix seconds; None: never) is given back."""

    by: str  #: drain, stop-jobs, spot or shutdown; as the lease and the attempt's ``stop`` say
    why: str
    until: float | None = None

    @property
    def due(self) -> bool:
        """Whether what still runs has to go."""
        return self.until is not None and time.time() >= self.until


class Drains:
    """What holds this worker back now; one event loop."""

    def __init__(self, config: Config, machine_stops: Callable[[], Awaitable[bool]]) -> None:
        """Looks for the first time at once: a drain survives a restart. ``tell_now`` is to be
        set: it has the master hear of a drain before anything is given back for it."""
        self.tell_now: Callable[[], Awaitable[None]] = _to_nobody
        self._ask_machine = machine_stops
        self.directory = config.control_directory
        self.notice = config.spot_notice_file
        self.grace_seconds = config.spot_grace_seconds
        self.now: Drain | None = None
        self._lock = control.make(self.directory)
        if self._lock is None:
            log.warning("control_not_held", directory=str(self.directory))
        self._machine: Drain | None = None  #: it is being shut down
        self._told: asyncio.Future[None] | None = None  #: the master, of that
        self._master: Drain | None = None  #: somebody asked for it there
        self._answers_ns = 0
        self.look()

    def look(self) -> bool:
        """See what is asked; whether that is new."""
        asked = control.requests(self.directory)
        self._answers_ns = max((request.asked_ns for request in asked), default=0)
        rows = [Drain(request.name, request.why, request.until) for request in asked]
        rows += [row for row in (self._machine, self._master, self._spot()) if row is not None]
        before, drain = self.now, most_urgent(rows)
        self.now = drain
        if drain == before:
            return False
        if drain is None:
            log.info("drain_ended")
        else:
            log.warning("draining", by=drain.by, why=drain.why, until=drain.until)
        return True

    async def watch(
        self, leases: Callable[[], Iterable[Lease]], changed: Callable[[], None]
    ) -> None:
        """Follow what is asked, and answer: ``changed`` is called when it is something else."""
        told = None
        while True:
            if self.look():
                changed()
                if self.now is not None:
                    await self.tell_now()
            held = list(leases())
            for lease in held:
                self.hold(lease)
            if not held:
                self._stopped_all()
            state = control.State(len(held), self.now.why if self.now else None, self._answers_ns)
            if state != told:
                control.tell(self.directory, state)
                told = state
            await asyncio.sleep(LOOK_SECONDS)

    def hold(self, lease: Lease) -> None:
        """Have an attempt end whose time is over."""
        if self.now is not None and self.now.due:
            lease.ask_stop(self.now.by)

    def obey(self, drain: bool, seconds: float | None) -> None:
        """What the master says of it with every heartbeat: whether, and how long jobs may run."""
        until = None if seconds is None else time.time() + seconds
        if drain and self._master is not None and _same(self._master.until, until):
            return
        self._master = Drain("drain", "asked at the master", until) if drain else None

    def on_signal(self) -> None:
        """Drain as if somebody had asked for it with ffmpeg-worker drain."""
        self._ask("asked by a signal", None, this_boot=False)

    def on_spot_signal(self) -> None:
        """The cloud takes this machine back; if it ever starts again, that is over."""
        self._ask(SPOT, time.time() + self.grace_seconds, this_boot=True)

    def _ask(self, why: str, until: float | None, *, this_boot: bool) -> None:
        """Written down, so that it survives a restart of the worker."""
        try:
            control.ask(self.directory, control.DRAIN, why, until, this_boot=this_boot)
        except OSError as error:
            log.error("drain_not_written", reason=str(error))

    async def machine_stops(self) -> bool:
        """Whether the machine is being shut down; if so, everything is given back."""
        if self._machine is None and await self._ask_machine():
            self._machine = Drain("shutdown", "the machine is shut down", 0.0)
            self.look()
            self._told = self._told or asyncio.ensure_future(self.tell_now())
        if self._told is not None:
            await asyncio.wait({self._told})
        return self._machine is not None

    def _spot(self) -> Drain | None:
        if self.notice is None:
            return None
        try:
            since = Path(self.notice).stat().st_mtime
        except OSError:
            return None
        return Drain("spot", SPOT, since + self.grace_seconds)

    def _stopped_all(self) -> None:
        if self.now is not None and self.now.by == control.STOP_JOBS:
            try:
                control.withdraw(self.directory, control.STOP_JOBS)
            except OSError as error:
                log.error("request_not_removed", reason=str(error))


async def _to_nobody() -> None:
    """Before there is a dialogue."""


def most_urgent(rows: Iterable[Drain]) -> Drain | None:
    """The one that leaves the least time; of equals the first."""
    ordered = sorted(rows, key=_until)
    return ordered[0] if ordered else None


def _until(row: Drain) -> float:
    return float("inf") if row.until is None else row.until


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) < SAME_SECONDS or max(one, other) <= time.time()
