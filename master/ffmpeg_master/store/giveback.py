"""Attempts that were not made: a worker hands them back, or never heard of them.

Their number is used up, because it is the fence; a try of the job is not.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import and_, bindparam, select

from ffmpeg_jobs.model import JobStatus, Outcome, Reason, State
from ffmpeg_master.store import endings, fence, transitions
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.jobs import dump
from ffmpeg_master.store.plans import planned_once
from ffmpeg_master.store.tables import attempts, is_live, jobs

#: What a worker holds of claims that were answered before it made the one with this serial.
_OF_EARLIER_CLAIMS: Final = planned_once(
    select(jobs)
    .join(attempts, and_(attempts.c.job_id == jobs.c.id, attempts.c.number == jobs.c.attempt))
    .where(jobs.c.worker == bindparam("by"), is_live, attempts.c.claim_serial < bindparam("serial"))
    .order_by(jobs.c.id)
)
_HOLD_OF_EARLIER_CLAIMS: Final = _OF_EARLIER_CLAIMS.with_for_update()


def release(
    store: Store, job_id: str, number: int, *, token: str, why: str, retry_seconds: float
) -> tuple[JobStatus, str] | None:
    """Put the job of an attempt that its worker hands back in the queue again: the job, as it
    stands now, and the worker's name; None: it had been.

    Raises StaleAttempt, and then nothing was changed.
    """
    with store.write() as connection:
        found = fence.held(connection, job_id, number, token)
        if found.ended_at is None:
            now = store.now()
            given = _give_back(connection, now, found, why, retry_seconds, reported=True)
            return given, found.worker
        if found.told is not None:  # it was told how it ended
            raise fence.stale(job_id, number)
        return None


def any_unheard(store: Store, worker: str, serial: int, reported: set[tuple[str, int]]) -> bool:
    """Whether there is something to do for ``unheard``; mostly there is not."""
    with store.read() as connection:
        found = connection.execute(_OF_EARLIER_CLAIMS, {"by": worker, "serial": serial})
        return any(_key(row) not in reported for row in found)


def unheard(
    store: Store,
    worker: str,
    serial: int,
    reported: set[tuple[str, int]],
    retry_seconds: float,
) -> list[JobStatus]:
    """Put jobs in the queue again whose claim ``worker`` never heard the answer of.

    Whoever makes the claim ``serial`` has heard the answers of all before it, or lost them; what
    it heard and has not told the end of, it has ``reported``.
    """
    why = "its worker never heard of it"
    asked = {"by": worker, "serial": serial}
    with store.write() as connection:
        rows = connection.execute(_HOLD_OF_EARLIER_CLAIMS, asked).all()
        lost = [row for row in rows if _key(row) not in reported]
        now = store.now()
        return [
            _give_back(connection, now, row, why, retry_seconds, reported=False) for row in lost
        ]


def _key(row: Any) -> tuple[str, int]:
    return row.id, row.attempt


def _give_back(
    connection: Connection,
    now: float,
    row: Any,
    why: str,
    retry_seconds: float,
    *,
    reported: bool,
) -> JobStatus:
    then = transitions.after_give_back(
        given_back=row.given_back, cancel_requested=row.cancel_requested
    )
    if then is None:
        told = transitions.given_up(why)
        end = endings.of_outcome(connection, now, row, told, retry_seconds, reported=reported)
    else:
        canceled = then.state is State.CANCELED
        outcome = Outcome(State.CANCELED, Reason.CANCELED, "canceled") if canceled else None
        # It keeps its place in line. Its time had come, whatever the clock said then.
        more = {"given_back": row.given_back + 1, "not_before": min(row.not_before, now)}
        more["outcome"] = outcome and dump(outcome)
        how = {"outcome": None, "reported": reported, "reason": None}
        end = endings.ending(now, row, then, how, **more)
    return endings.write(connection, now, [end])[0]
