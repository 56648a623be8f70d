"""The open master: what each request and the housekeeping work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from ffmpeg_jobs.model import FINAL_STATES, JobStatus
from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.auth import Gate
from ffmpeg_master.config import Config
from ffmpeg_master.feed import Feed
from ffmpeg_master.metrics import Metrics
from ffmpeg_master.refusals import Refusals
from ffmpeg_master.relay import Relay
from ffmpeg_master.store import attendance, dependencies, schema
from ffmpeg_master.store.engine import Store
from ffmpeg_master.tenant_room import TenantRoom
from ffmpeg_master.wakeup import Wakeup

#: Other masters of the same database note that they are there more often than this.
_OTHERS_NOTE_SECONDS: Final = 2 * attendance.NOTE_SECONDS
#: Transactions of ``settle`` at once, of some milliseconds each.
_SETTLE_MOST: Final = 100

log = structlog.get_logger()


@dataclass(frozen=True)
class Master:
    """The rooms of one serving process."""

    config: Config
    store: Store
    gate: Gate
    refusals: Refusals
    relay: Relay
    wakeup: Wakeup
    feed: Feed
    metrics: Metrics
    tenant_room: TenantRoom

    def ended(self, status: JobStatus, worker: str | None = None) -> None:
        """Count a job whose state changed, if it ended, and tell those who wait for it, or for
        the room that it had at ``worker``.

        What was done is committed: it is not refused because of what only follows.
        """
        if worker is not None:
            self.wakeup.wake_worker(worker)
        self.metrics.ended(status, _duration_seconds(status))
        self.tenant_room.left(status)
        if status.awaited and status.state in FINAL_STATES:
            try:
                self.settle()
            except Unavailable as problem:
                # The housekeeping does it.
                log.warning("settling_postponed", job=status.id, detail=problem.detail)

    def settle(self) -> None:
        """Start or end what waits for jobs that ended; very many go on in the next rounds."""
        for _ in range(_SETTLE_MOST):
            done = dependencies.settle(self.store)
            for status in done.failed:
                log.info("dependency_failed", job=status.id, error=status.error)
                self.metrics.ended(status, _duration_seconds(status))
            if done.ready:
                self.wakeup.wake(done.ready)
            if done.steps == 0:
                return

    def given_back(self, statuses: list[JobStatus], worker: str) -> None:
        """Offer jobs that ``worker`` gave back to those who wait, and it others."""
        for status in statuses:
            self.ended(status, worker)  # one that was being canceled has ended
        if statuses:
            self.wakeup.wake(len(statuses))


def open_master(
    config: Config, clock: Callable[[], float] | None = None, store: Store | None = None
) -> Master:
    """Open the store, migrate it, and give every lease its full length if no master was there.

    ``store``: one that is open already. Raises SchemaTooNew or Unavailable.
    """
    store = store or Store(config.database, clock)
    schema.migrate(store)
    # Alone, nobody was there while this one was not.
    away_seconds = _OTHERS_NOTE_SECONDS if store.shared else 0
    attendance.attend(store, away_seconds, config.lease_seconds)
    relay = Relay(store)
    wakeup = Wakeup(relay.tell)
    room = TenantRoom(store, wakeup, relay.tell)
    room.look()
    rooms = Gate(store), Refusals(), relay, wakeup, Feed(store), Metrics(store), room
    return Master(config, store, *rooms)


def _duration_seconds(status: JobStatus) -> float | None:
    if status.started_at is None or status.finished_at is None:
        return None
    ended = datetime.fromisoformat(status.finished_at.replace("Z", "+00:00"))
    started = datetime.fromisoformat(status.started_at.replace("Z", "+00:00"))
    return (ended - started).total_seconds()
