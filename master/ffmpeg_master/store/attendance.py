"""Whether any master was there: where none was, no worker could extend a lease.

The masters of one database note the time in one row, so one that starts, or comes back, knows
whether another one judged the leases meanwhile.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, select, update

from ffmpeg_master.store import queue
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import attendance

#: How old the note may get before it is written again, in seconds: each write is one to the disk.
NOTE_SECONDS: Final = 2.0

_NOTED: Final = select(attendance.c.noted_at)
_HOLD: Final = _NOTED.with_for_update()
_NOTE: Final = update(attendance).values(noted_at=bindparam("now"))


def absent_seconds(store: Store) -> float:
    """For how long no master noted that it is there."""
    with store.read() as connection:
        return float(store.now() - connection.execute(_NOTED).scalar_one())


def attend(store: Store, away_seconds: float, lease_seconds: float) -> tuple[float, int]:
    """Note that a master is there; after ``away_seconds`` without one, renew all leases.

    For how many seconds none was noted, and how many leases were renewed.
    """
    with store.write() as connection:
        noted_at = connection.execute(_HOLD).scalar_one()
        now = store.now()
        absent_seconds = now - noted_at
        if absent_seconds < 0 or absent_seconds >= min(NOTE_SECONDS, away_seconds):
            connection.execute(_NOTE, {"now": now})
        away = absent_seconds >= away_seconds
        return absent_seconds, queue.renew(connection, now, lease_seconds) if away else 0
