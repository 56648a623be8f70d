"""ffmpeg's log of each attempt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import bindparam, delete, insert, select, update

from ffmpeg_jobs.model import Job, Result
from ffmpeg_jobs.problems import NotFound
from ffmpeg_master.store import fence, jobs, leases
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.plans import planned_once
from ffmpeg_master.store.psycopg import unread
from ffmpeg_master.store.tables import attempts, logs

#: One that was sent before goes: what is told with the end counts.
_FORGET: Final = unread(
    planned_once(
        delete(logs).where(logs.c.job_id == bindparam("of_job"), logs.c.attempt == bindparam("at"))
    )
)
_KEEP: Final = unread(
    planned_once(
        insert(logs).values(
            job_id=bindparam("of_job"), attempt=bindparam("at"), content=bindparam("log")
        )
    )
)


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
            leases.wait_longer(connection, store.now(), row, publishing_lease_seconds)
        same = (logs.c.job_id == job_id, logs.c.attempt == number)
        if connection.execute(update(logs).where(*same).values(content=content)).rowcount == 0:
            connection.execute(insert(logs).values(job_id=job_id, attempt=number, content=content))


def keep(connection: Connection, results: Iterable[Result]) -> None:
    """Keep the logs that came with results whose attempts end."""
    found = [one for one in results if one.log]
    if found:
        keys = [{"of_job": one.job_id, "at": one.attempt} for one in found]
        connection.execute(_FORGET, keys)
        logs_of = zip(keys, found, strict=True)
        connection.execute(_KEEP, [key | {"log": str(one.log).encode()} for key, one in logs_of])


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
