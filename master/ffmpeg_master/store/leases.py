"""How long leases last."""

from __future__ import annotations

from typing import Any, Final

from ffmpeg_master.store import fence, moves
from ffmpeg_master.store.engine import Connection

#: An attempt that is about to publish its output is waited for so many leases: its work is done,
#: and is not to be done again because it was cut off at that moment.
PUBLISHING_LEASES: Final = 5


def wait_longer(connection: Connection, now: float, row: Any, lease_seconds: float) -> None:
    """Give the attempt of a row of ``fence`` the lease of one that publishes its output.

    Raises StaleAttempt if it was given up: the job may be handed out at any moment.
    """
    if row.ended_at is not None:
        raise fence.stale(row.id, row.attempt)
    until = longer(row, now + PUBLISHING_LEASES * lease_seconds)
    move = {"of_job": row.id, "at": row.attempt, "lease_until": until, "updated_at": now}
    moves.hear(connection, [move])


def longer(row: Any, lease_until: float) -> float:
    """Until when a lease lasts that is extended; who publishes has a longer one already."""
    return max(lease_until, float(row.lease_until))
