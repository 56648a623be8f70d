"""Jobs are handed to a worker, in the transaction that hears how its last ones ended.

Each compares state and attempt before it sets them: ``attempt`` and the token that belongs to
it are the fence.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import bindparam, insert, or_, select, update

from ffmpeg_jobs.model import Claim, Job, JobStatus, Refused, Result, State
from ffmpeg_jobs.problems import StaleAttempt
from ffmpeg_jobs.schema import from_json
from ffmpeg_master.store import fence, outbox, queue
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.jobs import get
from ffmpeg_master.store.tables import attempts, is_ready, jobs

# What runs often is built once: building a statement takes longer than running it.
#: A ready job whose time has come; who is at it now decides about it, and nobody waits for that.
_HOLD_DUE: Final = (
    select(jobs.c.attempt, jobs.c.job)
    .where(jobs.c.id == bindparam("job_id"), is_ready, jobs.c.not_before <= bindparam("now"))
    .where(or_(jobs.c.deadline.is_(None), jobs.c.deadline > bindparam("now")))
    .with_for_update(skip_locked=True)
)
#: It becomes a worker's.
_TAKE: Final = (
    update(jobs)
    .where(jobs.c.id == bindparam("of_job"))
    .values(
        state=State.RUNNING.value,
        attempt=jobs.c.attempt + 1,
        worker=bindparam("by"),
        started_at=bindparam("now"),
        updated_at=bindparam("now"),
        lease_until=bindparam("until"),
        outcome=None,
        progress=None,
        usage=None,
        in_force=None,
        unmet=None,
        pause_requested=False,
    )
)
_BEGIN_ATTEMPT: Final = insert(attempts)


@dataclass(frozen=True)
class Asked:
    """A claim as a worker makes it, and what the master adds."""

    worker: str
    lease_seconds: float
    retry_seconds: float
    most: int = 1  #: jobs
    serial: int | None = None  #: the worker's own number of this claim
    results: tuple[Result, ...] = ()  #: of its last attempts


@dataclass(frozen=True)
class Given:
    """What became of it."""

    claims: tuple[Claim, ...] = ()
    ended: tuple[JobStatus, ...] = ()  #: by the results, as they stand now
    refused: tuple[Refused, ...] = ()  #: results that changed nothing
    passed: bool = False  #: somebody else was at a job that suits, and may have left it there


def claim(store: Store, asked: Asked, choices: Generator[str, bool, None]) -> Given:
    """Hear the results, then hand out queued jobs, all in one transaction.

    ``choices`` yields the id of the job to be handed out next and is sent whether it was: another
    claim may just be at it. It reads in the same transaction, in which no other claim of this
    worker's is made, so that the worker never holds more than it may.
    """
    with store.write() as connection:
        store.hold(connection, asked.worker)
        now = store.now()
        ended, refused = _hear(connection, now, asked.results, asked.retry_seconds)
        claims: list[Claim] = []
        passed = False
        with suppress(StopIteration):
            job_id = next(choices)
            while True:
                found = _take(connection, job_id, asked, now)
                passed = passed or found is None
                if found is not None:
                    claims.append(found)
                    if len(claims) == asked.most:
                        break
                job_id = choices.send(found is not None)
        choices.close()
    return Given(tuple(claims), tuple(ended), tuple(refused), passed)


def _hear(
    connection: Connection, now: float, results: Sequence[Result], retry_seconds: float
) -> tuple[list[JobStatus], list[Refused]]:
    ended, refused = [], []
    # Always in the same order, so that no two wait for each other.
    for result in sorted(results, key=lambda result: result.job_id):
        try:
            status = queue.told(connection, now, result, retry_seconds)
        except StaleAttempt as problem:
            refused.append(Refused(result.job_id, result.attempt, problem.detail))
        else:
            if status is not None:
                ended.append(status)
    return ended, refused


def _take(connection: Connection, job_id: str, asked: Asked, now: float) -> Claim | None:
    row = connection.execute(_HOLD_DUE, {"job_id": job_id, "now": now}).first()
    if row is None:
        return None
    number, token = row.attempt + 1, secrets.token_urlsafe(24)
    until = now + asked.lease_seconds
    connection.execute(_TAKE, {"of_job": job_id, "by": asked.worker, "now": now, "until": until})
    attempt = {"job_id": job_id, "number": number, "worker": asked.worker, "started_at": now}
    attempt |= {"token_hash": fence.hash_token(token), "reported": False}
    connection.execute(_BEGIN_ATTEMPT, attempt | {"claim_serial": asked.serial})
    job = from_json(Job, json.loads(row.job))
    if job.callback_url is not None:
        outbox.tell(connection, now, get(connection, job_id))
        job = replace(job, callback_url=None)  # no concern of the worker's
    return Claim(job_id, number, token, asked.lease_seconds, job)
