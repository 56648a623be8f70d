"""One job handed out, and one result told, as a claim does it."""

from __future__ import annotations

from sqlalchemy import func, select

from ffmpeg_jobs.model import Claim, JobStatus, Outcome, Result
from ffmpeg_master.model import Left, Room, Waiting
from ffmpeg_master.store import claims, queue
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import is_live, jobs
from ffmpeg_master.store.waiting import Lines


def claim(
    store: Store,
    job_id: str,
    worker: str,
    *,
    most: int,
    lease_seconds: float,
    serial: int | None = None,
) -> Claim | None:
    """Hand this job to the worker, which may hold ``most``; None: it was not to be had."""

    def choices() -> claims.Choices:
        held = select(func.count()).where(jobs.c.worker == worker, is_live)
        with store.read() as connection:
            has_room = connection.execute(held).scalar_one() < most
        if has_room:
            yield [job_id]
        return Left.SOME

    asked = claims.Asked(worker, lease_seconds, retry_seconds=0, room=Room(serial))
    return next(iter(claims.claim(store, asked, choices()).claims), None)


def finish(
    store: Store, job_id: str, number: int, *, token: str, outcome: Outcome, retry_seconds: float
) -> JobStatus | None:
    """End that attempt."""
    ended = queue.finish(store, Result(job_id, number, token, outcome), retry_seconds)
    return None if ended is None else ended[0]


def waiting(store: Store) -> list[Waiting]:
    """What could be handed out now."""
    with store.read():
        return list(Lines(store).by(lambda job: (job.rank, job.number)))
