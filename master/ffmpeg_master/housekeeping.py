"""What time does to jobs: leases run out, retries come due, ended ones are forgotten."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from math import isinf
from typing import Final, TypeVar

import structlog

from ffmpeg_jobs.model import JobStatus, State
from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.master import Master
from ffmpeg_master.store import attendance, audit, clock, queue, schema, tallies, waiting, workers

Ended = TypeVar("Ended")

log = structlog.get_logger()

#: Seconds between rounds; how much later than due a lease ends.
ROUND_SECONDS: Final = 1.0
#: Seconds between looks for what became due: so much later a retry, or a job that waited for its
#: time, is offered.
OFFER_SECONDS: Final = 0.25
#: No round for this long, in seconds: nobody could extend a lease meanwhile. The machine slept,
#: the process or the database stood still, or the clock was set.
_AWAY_SECONDS: Final = 10.0
#: Where leases are short, rounds that are missed.
_ROUNDS_AWAY: Final = 3
#: A job is looked for again for so long after it was due, in seconds: it may be committed that
#: late, or another master could not tell of it.
_LATE_SECONDS: Final = 3.0
#: Transactions of ``queue.expire`` or ``queue.overdue`` per round, of some 10 ms each.
_ENDS_MOST: Final = 20
#: Jobs deleted at once: a transaction of some 5 ms.
_FORGET_MOST: Final = 100
#: Entries of the audit log, likewise.
_FORGET_ENTRIES_MOST: Final = 1000
#: So often per round, which is more than come in that time.
_FORGET_STEPS: Final = 20
#: In between, others write.
_FORGET_PAUSE_SECONDS: Final = 0.02


def repeat(stopped: threading.Event, wait_seconds: float, work: Callable[[], None]) -> None:
    """One round of ``work`` after the other, until ``stopped``."""
    while not stopped.wait(wait_seconds):
        # The process's one broad handler: the loop outlives whatever a round meets.
        try:
            work()
        except Unavailable as problem:  # the store told of it, once
            log.debug("round_postponed", detail=problem.detail)
        except Exception:
            log.exception("housekeeping_failed")


def _all(end_some: Callable[[], list[Ended]]) -> Iterator[Ended]:
    """What ``end_some`` ends, until that is all; very many go on in the next round."""
    for _ in range(_ENDS_MOST):
        ended = end_some()
        yield from ended
        if len(ended) < queue.ENDED_MOST:
            return


class Housekeeping:
    """One round after another, until ``stop``."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._stopped = threading.Event()
        self._last = master.store.now()
        self._ahead = float("inf")  #: of the time since boot; at first, it may have been anything

    def start(self) -> None:
        """Begin."""
        for name, seconds, work in (
            ("housekeeping", ROUND_SECONDS, self.round),
            ("offers", OFFER_SECONDS, self.offer),
        ):
            arguments = (self._stopped, seconds, work)
            threading.Thread(target=repeat, args=arguments, name=name, daemon=True).start()

    def stop(self) -> None:
        """End after the round that runs."""
        self._stopped.set()

    def round(self) -> None:
        """One round, by the store's clock."""
        master, now = self._master, self._master.store.now()
        self._leave_what_is_newer()
        self._watch_clock()
        # First, and again until it is done: what else a round does may fail.
        self._offer(min(self._last, now) - _LATE_SECONDS, now)
        master.tenant_room.look()
        self._attend()
        self._expire()
        for status in _all(partial(queue.overdue, master.store)):
            log.warning("deadline_passed", job=status.id)
            master.ended(status)
        master.settle()  # what a master that died left
        self._forget(now)
        tallies.fold(master.store)

    def _leave_what_is_newer(self) -> None:
        """Stop serving tables that a newer master changed: the next start refuses them."""
        try:
            schema.check(self._master.store)
        except schema.SchemaTooNew as error:
            log.error("schema_too_new", detail=str(error))
            os.kill(os.getpid(), signal.SIGTERM)

    def offer(self) -> None:
        """Offer what became due: retries, and what waited for its time."""
        self._watch_clock()
        now = self._master.store.now()
        self._offer(self._last, now)
        self._last = now

    def _watch_clock(self) -> None:
        """Bring back what was written ahead of the time, when the clock was set back."""
        before, self._ahead = self._ahead, clock.ahead(self._master.store)
        if before - self._ahead < clock.STEP_SECONDS:
            return
        righted = clock.set_right(self._master.store)
        if righted.jobs or righted.leases:
            seconds = None if isinf(before) else round(before - self._ahead, 1)
            log.warning("clock_set_back", seconds=seconds, **asdict(righted))
        if righted.jobs:
            self._master.wakeup.wake(righted.jobs)

    def _offer(self, since: float, until: float) -> None:
        self._master.wakeup.wake_here(waiting.due(self._master.store, since, until))

    def _attend(self) -> None:
        lease_seconds, away_seconds = self._master.config.lease_seconds, self._away_seconds
        away = attendance.attend(self._master.store, away_seconds, lease_seconds)
        absent_seconds, renewed = away
        if absent_seconds >= away_seconds:
            log.warning("was_away", seconds=round(absent_seconds), leases_renewed=renewed)

    @property
    def _away_seconds(self) -> float:
        """So long without a master, no lease is to end."""
        lease_seconds = self._master.config.lease_seconds
        return min(_AWAY_SECONDS, max(lease_seconds / 2, _ROUNDS_AWAY * ROUND_SECONDS))

    def _expire_some(self) -> list[tuple[JobStatus, str]]:
        store = self._master.store
        with store.write():
            # The machine may have slept since it was noted that we are here.
            if attendance.absent_seconds(store) >= self._away_seconds:
                return []
            return queue.expire(store, self._master.config.lease_seconds)

    def _expire(self) -> None:
        for status, worker in _all(self._expire_some):
            log.warning(
                "lease_expired", job=status.id, attempt=status.attempt, now=status.state.value
            )
            # What it holds open may be heard by nobody.
            self._master.wakeup.dismiss(worker)
            self._master.ended(status)
            if status.state is State.QUEUED:
                self._master.wakeup.wake()

    def _forget(self, now: float) -> None:
        before = now - self._master.config.retain_days * 86400
        store = self._master.store
        forgotten = self._steps(partial(queue.forget, store, before, _FORGET_MOST), _FORGET_MOST)
        if forgotten:
            log.info("jobs_forgotten", count=forgotten)
        for name in workers.forget(store, before):
            log.info("worker_forgotten", worker=name)
        before = now - self._master.config.retain_audit_days * 86400
        most = _FORGET_ENTRIES_MOST
        self._steps(partial(audit.forget, store, before, most), most)

    def _steps(self, forget_some: Callable[[], int], most: int) -> int:
        """How many were forgotten, up to ``most`` at a time; very many go on in the next round."""
        forgotten = 0
        for _ in range(_FORGET_STEPS):
            gone = forget_some()
            forgotten += gone
            if gone < most or self._stopped.wait(_FORGET_PAUSE_SECONDS):
                break
        return forgotten
