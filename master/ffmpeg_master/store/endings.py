"""How attempts end: first what each means is read and decided, then all of it is written at once.

Whoever decides holds the row of the job, so that nothing comes between.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Final

from sqlalchemy import bindparam, select, update

from ffmpeg_jobs.model import FINAL_STATES, JobStatus, Outcome, Reason, Result, State
from ffmpeg_master.store import fence, moves, outbox, transitions
from ffmpeg_master.store.engine import Connection
from ffmpeg_master.store.jobs import dump, status_of
from ffmpeg_master.store.plans import planned_once
from ffmpeg_master.store.psycopg import unread
from ffmpeg_master.store.tables import attempts

_LIVE: Final = (State.RUNNING.value, State.PAUSED.value)
# What runs often is built once: building a statement takes longer than running it.
_CLOSE_ATTEMPT: Final = unread(
    planned_once(
        update(attempts).where(
            attempts.c.job_id == bindparam("of_job"), attempts.c.number == bindparam("at")
        )
    )
)
#: The workers that were lost under a job.
_LOST: Final = (
    select(attempts.c.worker)
    .where(attempts.c.job_id == bindparam("of_job"), attempts.c.reason == Reason.WORKER_LOST.value)
    .order_by(attempts.c.number)
)


@dataclass(frozen=True)
class Ending:
    """What is to be written of an attempt that ends, and of its job."""

    attempt: Mapping[str, Any]
    job: Mapping[str, Any]
    status: JobStatus  #: the job, as it stands then
    worker: str  #: who held it
    late: bool = False  #: it had been given up before


def of_result(
    connection: Connection,
    now: float,
    row: Any,
    result: Result,
    *,
    retry_seconds: float,
    worker: str | None = None,
    serves: str | None = None,
) -> Ending | None:
    """The end that ``worker`` tells, None: whichever holds the token; None: it had told the same
    before. ``row``: as ``fence.latest`` found it. ``serves``: the tenant that the worker's key is
    for, None: everybody. Raises StaleAttempt."""
    fence.check_held(row, result.job_id, result.attempt)
    if worker not in (None, row.made_by) or serves not in (None, row.tenant):
        raise fence.stale(result.job_id, result.attempt)
    if row.reported and row.ended_at is not None and row.told == dump(result.outcome):
        return None
    if row.ended_at is not None and not _counts_late(row, result.outcome):
        raise fence.stale(result.job_id, result.attempt)
    return of_outcome(connection, now, row, result.outcome, retry_seconds, reported=True)


def _counts_late(row: Any, outcome: Outcome) -> bool:
    """Whether an outcome still counts that comes after its attempt was given up.

    What completed has its output in its place, whatever was said of the job meanwhile. What did
    not counts as long as the job waits for nothing but the next attempt.
    """
    if row.reported:
        return False
    waits = row.state == State.QUEUED.value and row.outcome == row.told
    return outcome.state is State.COMPLETED or waits


def of_outcome(
    connection: Connection,
    now: float,
    row: Any,
    outcome: Outcome,
    retry_seconds: float,
    *,
    reported: bool,
) -> Ending:
    """The end of the attempt that ``row`` is at, as ``outcome`` says."""
    then = transitions.after(
        outcome,
        tries=row.attempt - row.given_back,
        max_attempts=row.max_attempts,
        cancel_requested=row.cancel_requested,
        retry_seconds=retry_seconds,
        chance=random.random(),  # noqa: S311 - spreads retries; nothing is secret
    )
    told = dump(outcome)
    if then.state is State.CANCELED:
        outcome = replace(outcome, state=State.CANCELED, reason=Reason.CANCELED)
    elif then.state is State.FAILED and outcome.reason is Reason.WORKER_LOST:
        lost = connection.execute(_LOST, {"of_job": row.id}).scalars().all()
        outcome = transitions.suspected(outcome, [*lost, _who(row)])
    how = {"outcome": told, "reported": reported, "reason": outcome.reason and outcome.reason.value}
    return ending(now, row, then, how, outcome=dump(outcome))


def ending(
    now: float, row: Any, then: transitions.Next, how: Mapping[str, Any], **more: Any
) -> Ending:
    """The end of the attempt that ``row`` is at: ``how`` it ended, and where its job goes."""
    final, who = then.state in FINAL_STATES, _who(row)
    job = {
        "state": then.state.value,
        "updated_at": now,
        "finished_at": now if final else None,
        "not_before": now + then.wait_seconds,
        "lease_until": None,
        "pause_requested": False,
        "in_force": None,
        "unmet": None,
        "worker": who if final else None,
        "avoid_worker": who,
        **more,
    }
    before = zip(row._fields, row, strict=True)  # a mapping of the row looks each column up
    status = status_of(SimpleNamespace(**{**dict(before), **job}))
    attempt = {"of_job": row.id, "at": row.attempt, "ended_at": now, **how}
    late = row.state not in _LIVE
    return Ending(attempt, {"of_job": row.id, "at": row.attempt, **job}, status, who, late)


def _who(row: Any) -> str:
    """Whose attempt it is; the job may be nobody's any more."""
    return str(row.worker or row.made_by)


def write(connection: Connection, now: float, endings: Sequence[Ending]) -> list[JobStatus]:
    """Write ends that name the same columns; the jobs, as they stand now."""
    if endings:
        connection.execute(_CLOSE_ATTEMPT, [end.attempt for end in endings])
        moves.end_attempts(connection, [end.job for end in endings if not end.late])
        moves.end_late(connection, [end.job for end in endings if end.late])
    return [outbox.tell(connection, now, end.status) for end in endings]
