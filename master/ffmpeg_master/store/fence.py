"""The fence: an attempt's number and its token say who may speak for a job."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import and_, bindparam, select

from ffmpeg_jobs.problems import StaleAttempt
from ffmpeg_master.store.engine import Connection
from ffmpeg_master.store.tables import attempts, jobs

#: The attempt that a job is at, with all that its job's row says; nobody else changes it now.
_LATEST: Final = (
    select(jobs, attempts.c.token_hash, attempts.c.ended_at, attempts.c.reported)
    .add_columns(attempts.c.outcome.label("told"), attempts.c.worker.label("made_by"))
    .join(attempts, and_(attempts.c.job_id == jobs.c.id, attempts.c.number == jobs.c.attempt))
    .where(jobs.c.id == bindparam("job_id"), jobs.c.attempt == bindparam("number"))
    .with_for_update()
)


def hash_token(token: str) -> str:
    """What the store keeps of a token."""
    return sha256(token.encode()).hexdigest()


def latest(connection: Connection, job_id: str, number: int, token: str) -> Any:
    """The job's row with its attempt's, if that is the latest one and the token its own."""
    row = connection.execute(_LATEST, {"job_id": job_id, "number": number}).first()
    if row is None or not hmac.compare_digest(row.token_hash, hash_token(token)):
        return None
    return row


def held(connection: Connection, job_id: str, number: int, token: str) -> Any:
    """Like ``latest``, for an attempt that the master did not give up. Raises StaleAttempt."""
    row = latest(connection, job_id, number, token)
    if row is None or (row.ended_at is not None and not row.reported):
        raise stale(job_id, number)
    return row


def stale(job_id: str, number: int) -> StaleAttempt:
    """The refusal of who comes late."""
    return StaleAttempt(f"attempt {number} at job {job_id} is not yours, or no longer current")
