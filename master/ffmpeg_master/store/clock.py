"""The clock was set back: what was to happen in some time happens in that time from now on.

Whatever was written while the clock was ahead is from the future, and says by its own time how long
it was to take. A time that a job asked for is a time of its own, and stays.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, select, update

from ffmpeg_jobs.schema import unix_seconds
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.tables import is_live, is_pending, is_queued, jobs, outbox, workers

#: A clock that was set back by less keeps nobody waiting for long, in seconds.
STEP_SECONDS: Final = 0.5
#: Jobs in one transaction.
_MOST: Final = 500

_NOW: Final = bindparam("now")
_LEASES: Final = (
    update(jobs)
    .where(is_live, jobs.c.updated_at > _NOW)
    .values(lease_until=jobs.c.lease_until - (jobs.c.updated_at - _NOW), updated_at=_NOW)
)
_QUEUED: Final = (
    select(jobs.c.number, jobs.c.not_before, jobs.c.updated_at, jobs.c.job)
    .where(is_queued, jobs.c.updated_at > _NOW)
    .order_by(jobs.c.number)
    .limit(_MOST)
    .with_for_update()
)
_DUE: Final = (
    update(jobs)
    .where(jobs.c.number == bindparam("of"))
    .values(not_before=bindparam("due_at"), updated_at=_NOW)
)
_WEBHOOKS: Final = (
    update(outbox)
    .where(is_pending, outbox.c.made_at > _NOW, outbox.c.due_at > _NOW)
    .values(due_at=_NOW)
)
_WORKERS: Final = (
    update(workers).where(workers.c.last_heartbeat_at > _NOW).values(last_heartbeat_at=_NOW)
)


def ahead(store: Store) -> float:
    """By how many seconds the store's clock is ahead of the time since boot, which nobody sets."""
    now = store.now()
    return now - time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Righted:
    """What was brought back from the future."""

    leases: int
    jobs: int  #: that wait


def set_right(store: Store) -> Righted:
    """Bring back what was written when the clock was ahead; where nothing was, nothing changes."""
    with store.write() as connection:
        now = {"now": store.now()}
        leases = connection.execute(_LEASES, now).rowcount
        connection.execute(_WEBHOOKS, now)
        connection.execute(_WORKERS, now)
    righted = 0
    while found := _bring_back_queued(store):
        righted += found
    return Righted(leases, righted)


def _bring_back_queued(store: Store) -> int:
    with store.write() as connection:
        now = store.now()
        rows = connection.execute(_QUEUED, {"now": now}).all()
        _write(connection, now, rows)
    return len(rows)


def _write(connection: Connection, now: float, rows: list[Any]) -> None:
    due = [{"of": row.number, "due_at": _due_at(row, now), "now": now} for row in rows]
    if due:
        connection.execute(_DUE, due)


def _due_at(row: Any, now: float) -> float:
    asked = json.loads(row.job).get("not_before")
    if asked is not None and unix_seconds(asked) == row.not_before:
        return float(row.not_before)
    return float(min(row.not_before, now + max(0.0, row.not_before - row.updated_at)))
