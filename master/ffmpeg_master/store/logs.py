"""ffmpeg's log of each attempt."""

from __future__ import annotations

from sqlalchemy import insert, select, update

from ffmpeg_jobs.model import Job
from ffmpeg_jobs.problems import NotFound
from ffmpeg_master.store import fence, jobs, queue
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import attempts, logs


def put(
    store: Store,
    job_id: str,
    number: int,
    token: str,
    content: bytes,
    *,
    publishing_lease_seconds: float | None = None,
) -> None:
    """Keep ffmpeg's log of an attempt, in the place of one sent before. Raises StaleAttempt.

    ``publishing_lease_seconds``: a lease, of an attempt that is about to publish its output; None:
    it says nothing of that.
    """
    with store.write() as connection:
        row = fence.held(connection, job_id, number, token)
        if publishing_lease_seconds is not None:
            queue.wait_longer(connection, store.now(), row, publishing_lease_seconds)
        same = (logs.c.job_id == job_id, logs.c.attempt == number)
        if connection.execute(update(logs).where(*same).values(content=content)).rowcount == 0:
            connection.execute(insert(logs).values(job_id=job_id, attempt=number, content=content))


def read(store: Store, job_id: str, attempt: int | None) -> tuple[Job, bytes]:
    """The job and ffmpeg's log of its last attempt, or the given one. Raises NotFound."""
    with store.read() as connection:
        status = jobs.get(connection, job_id)
        number = status.attempt if attempt is None else attempt
        tried = (attempts.c.job_id == job_id, attempts.c.number == number)
        if connection.execute(select(attempts.c.number).where(*tried)).first() is None:
            raise NotFound(f"job {job_id} has no attempt {number}")
        kept = (logs.c.job_id == job_id, logs.c.attempt == number)
        content = connection.execute(select(logs.c.content).where(*kept)).scalar()
    return status.job, content or b""
