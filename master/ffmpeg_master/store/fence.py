"""The fence: an attempt's number and its token say who may speak for a job."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import and_, bindparam, select

from ffmpeg_jobs.model import Report, Result
from ffmpeg_jobs.problems import StaleAttempt
from ffmpeg_master.store.engine import Connection
from ffmpeg_master.store.plans import padded, planned_once
from ffmpeg_master.store.tables import attempts, jobs

#: The attempts that jobs are at, with all that their jobs' rows say; nobody else changes them now.
#: Always in the same order, so that no two wait for each other.
_LATEST: Final = planned_once(
    select(jobs, attempts.c.token_hash, attempts.c.ended_at, attempts.c.reported)
    .add_columns(attempts.c.outcome.label("told"), attempts.c.worker.label("made_by"))
    .join(attempts, and_(attempts.c.job_id == jobs.c.id, attempts.c.number == jobs.c.attempt))
    .where(jobs.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(jobs.c.id)
    .with_for_update()
)


def hash_token(token: str) -> str:
    """What the store keeps of a token."""
    return sha256(token.encode()).hexdigest()


#: What somebody says of an attempt: the job's id, the attempt's number and its token.
Said = tuple[str, int, str]


def said(of: Report | Result) -> Said:
    """What a worker says of an attempt when it tells how it goes, or how it ended."""
    return of.job_id, of.attempt, of.token


def latest(connection: Connection, all_said: Iterable[Said]) -> dict[Said, Any]:
    """The row of each job with its attempt's, if that is the latest one and the token its own."""
    by_job: dict[str, list[Said]] = {}
    for one in all_said:
        by_job.setdefault(one[0], []).append(one)
    if not by_job:
        return {}
    rows = connection.execute(_LATEST, {"ids": padded(sorted(by_job))}).all()
    return {one: row for row in rows for one in by_job[row.id] if _speaks(one, row)}


def _speaks(one: Said, row: Any) -> bool:
    _, number, token = one
    return number == row.attempt and hmac.compare_digest(row.token_hash, hash_token(token))


def held(connection: Connection, job_id: str, number: int, token: str) -> Any:
    """The row of an attempt that may be spoken of. Raises StaleAttempt."""
    one = (job_id, number, token)
    return check_held(latest(connection, [one]).get(one), job_id, number)


def check_held(row: Any, job_id: str, number: int) -> Any:
    """``row``, as ``latest`` found it. Raises StaleAttempt if there is none, or the attempt was
    never made.

    One that was given up because its worker was silent may still be spoken of: nobody has made
    another since.
    """
    if row is None or (row.ended_at is not None and not row.reported and row.told is None):
        raise stale(job_id, number)
    return row


def stale(job_id: str, number: int) -> StaleAttempt:
    """The refusal of who comes late."""
    return StaleAttempt(f"attempt {number} at job {job_id} is not yours, or no longer current")
