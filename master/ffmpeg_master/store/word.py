"""A worker's word: that it is there, and whether it takes jobs; what it said later counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, select, update

from ffmpeg_jobs.model import Heartbeat
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.jobs import dump
from ffmpeg_master.store.plans import planned_once
from ffmpeg_master.store.tables import workers
from ffmpeg_master.store.workers import unknown

#: What it said last, and what is asked of it.
_LAST: Final = select(
    *(workers.c.drain, workers.c.drain_until, workers.c.draining, workers.c.held_back),
    workers.c.word_serial,
).where(workers.c.name == bindparam("by"))
_LOOK: Final = planned_once(_LAST)
#: Until the transaction ends, nothing else that it says is heard.
_HOLD: Final = planned_once(_LAST.with_for_update())
_THERE: Final = update(workers).where(workers.c.name == bindparam("by"))
_SEEN: Final = planned_once(_THERE.values(last_heartbeat_at=bindparam("now")))
_HEARD: Final = planned_once(
    _THERE.values(
        last_heartbeat_at=bindparam("now"),
        draining=bindparam("drains"),
        free=bindparam("left"),
        held_back=bindparam("why"),
        word_serial=bindparam("serial"),
    )
)


@dataclass(frozen=True)
class Asked:
    """What somebody asks of a worker at the master."""

    drain: bool  #: to take no new jobs
    drain_seconds: float | None  #: until what runs is given back; None: it may end


@dataclass(frozen=True)
class Word:
    """What became of what a worker said, and what it is to hear."""

    asked: Asked
    lifted: bool = False  #: it takes jobs again
    newer: int | None = None  #: the serial of what it said later, which counts instead


def hear(connection: Connection, now: float, name: str, heartbeat: Heartbeat) -> Word:
    """Note that a worker is there, and whether it takes jobs, unless it said so later already.

    Raises NotFound.
    """
    row = connection.execute(_HOLD, {"by": name}).first()
    if row is None:
        raise unknown(name)
    asked = _asked(row, now)
    said = {"by": name, "now": now}
    serial, known = heartbeat.serial, row.word_serial
    if serial is not None and known is not None and known > serial:
        connection.execute(_SEEN, said)
        return Word(asked, newer=known)
    said |= {"drains": heartbeat.draining, "why": heartbeat.held_back, "serial": serial}
    said["left"] = None if heartbeat.free is None else dump(heartbeat.free)
    connection.execute(_HEARD, said)
    lifted = _holds_back(row) and not _holds_back(heartbeat)
    return Word(asked, lifted)


def asked(store: Store, name: str) -> Asked:
    """What is asked of a worker."""
    with store.read() as connection:
        row = connection.execute(_LOOK, {"by": name}).first()
    return Asked(False, None) if row is None else _asked(row, store.now())


def _asked(row: Any, now: float) -> Asked:
    until = row.drain_until if row.drain else None
    return Asked(row.drain, None if until is None else max(0.0, until - now))


def _holds_back(told: Any) -> bool:
    return bool(told.draining) or told.held_back is not None
