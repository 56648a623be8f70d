"""Every attempt at a job, for who wants to know how it went."""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import bindparam, select

from ffmpeg_jobs.model import AttemptStatus, Job, Outcome
from ffmpeg_jobs.schema import from_json
from ffmpeg_master.store import jobs
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import attempts

_OF_JOB: Final = (
    select(attempts).where(attempts.c.job_id == bindparam("job_id")).order_by(attempts.c.number)
)


def of(store: Store, job_id: str) -> tuple[Job, list[AttemptStatus]]:
    """The job and the attempts at it, the first one first. Raises NotFound."""
    with store.read() as connection:
        job = jobs.get(connection, job_id).job
        rows = connection.execute(_OF_JOB, {"job_id": job_id}).all()
    return job, [_status(row) for row in rows]


def _status(row: Any) -> AttemptStatus:
    ended = row.ended_at is not None
    return AttemptStatus(
        row.number,
        row.worker,
        jobs.timestamp(row.started_at),
        jobs.timestamp(row.ended_at) if ended else None,
        given_back=ended and row.outcome is None,
        outcome=from_json(Outcome, json.loads(row.outcome)) if row.outcome else None,
    )
