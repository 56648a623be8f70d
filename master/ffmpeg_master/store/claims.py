"""Jobs are handed to a worker, in the transaction that hears how its last ones ended.

Each compares state and attempt before it sets them: ``attempt`` and the token that belongs to
it are the fence.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import bindparam, insert, select

from ffmpeg_jobs.model import Claim, JobStatus, Refused, Result, State
from ffmpeg_jobs.problems import StaleAttempt
from ffmpeg_master.model import ANY_ROOM, Left, Room
from ffmpeg_master.store import endings, fence, logs, moves, outbox
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.jobs import get, read
from ffmpeg_master.store.plans import padded, planned_once
from ffmpeg_master.store.psycopg import unread
from ffmpeg_master.store.tables import attempts, jobs

# What runs often is built once: building a statement takes longer than running it.
#: Who is at one now decides about it, and nobody waits for that.
_HOLD: Final = planned_once(
    select(jobs.c.id, jobs.c.attempt, jobs.c.job, jobs.c.state, jobs.c.blocked)
    .add_columns(jobs.c.not_before, jobs.c.deadline, jobs.c.tenant)
    .where(jobs.c.id.in_(bindparam("ids", expanding=True)))
    .with_for_update(skip_locked=True)
)
_BEGIN_ATTEMPT: Final = unread(planned_once(insert(attempts)))


@dataclass(frozen=True)
class Asked:
    """A claim as a worker makes it, and what the master adds."""

    worker: str
    lease_seconds: float
    retry_seconds: float
    most: int = 1  #: jobs
    room: Room = ANY_ROOM
    results: tuple[Result, ...] = ()  #: of its last attempts
    serves: str | None = None  #: the tenant that its key is for; None: everybody


@dataclass(frozen=True)
class _Taken:
    """A job that is being handed out, held until the transaction ends."""

    job_id: str
    attempt: int
    token: str
    job: str  #: as it is kept
    tenant: str


@dataclass(frozen=True)
class Given:
    """What became of it."""

    claims: tuple[Claim, ...] = ()
    ended: tuple[JobStatus, ...] = ()  #: by the results, as they stand now
    refused: tuple[Refused, ...] = ()  #: results that changed nothing
    passed: bool = False  #: somebody else was at a job that suits, and may have left it there
    left: Left = Left.SOME


#: The ids of the jobs to be handed out next, and is sent which were: another claim may just be at
#: one. Then who is next instead. At the end what waits beside them.
Choices = Generator[Sequence[str], Set[str], Left]


def claim(store: Store, asked: Asked, choices: Choices) -> Given:
    """Hear the results, then hand out queued jobs, all in one transaction.

    ``choices`` reads in the same transaction, in which no other claim of this worker's is made,
    so that the worker never holds more than it may.
    """
    with store.write() as connection:
        store.hold(connection, asked.worker)
        now = store.now()
        ended, refused = _hear(connection, now, asked)
        taken: list[_Taken] = []
        passed = False
        try:
            ids = next(choices)
            while True:
                found = _take(connection, ids, now)
                taken += found
                passed = passed or len(found) < len(ids)
                ids = choices.send({one.job_id for one in found})
        except StopIteration as end:
            left = end.value
        claims = _hand_out(connection, now, asked, taken)
    return Given(tuple(claims), tuple(ended), tuple(refused), passed, left)


def _hear(
    connection: Connection, now: float, asked: Asked
) -> tuple[list[JobStatus], list[Refused]]:
    found, heard, refused = [], [], []
    results = {(r.job_id, r.attempt): r for r in asked.results}.values()  # each once
    rows = fence.latest(connection, map(fence.said, results))
    how: dict[str, Any] = {"retry_seconds": asked.retry_seconds, "worker": asked.worker}
    how["serves"] = asked.serves
    for result in results:
        row = rows.get(fence.said(result))
        try:
            ending = endings.of_result(connection, now, row, result, **how)
        except StaleAttempt as problem:
            refused.append(Refused(result.job_id, result.attempt, problem.detail))
        else:
            if ending is not None:
                found.append(ending)
                heard.append(result)
    logs.keep(connection, heard)
    return endings.write(connection, now, found), refused


def _take(connection: Connection, ids: Sequence[str], now: float) -> list[_Taken]:
    rows = connection.execute(_HOLD, {"ids": padded(ids)}).all()
    return [
        _Taken(row.id, row.attempt + 1, secrets.token_urlsafe(24), row.job, row.tenant)
        for row in sorted(rows, key=lambda row: ids.index(row.id))
        if _is_due(row, now)
    ]


def _is_due(row: Any, now: float) -> bool:
    """Whether it is there for whoever comes; who held it a moment ago may have taken it."""
    in_time = row.deadline is None or row.deadline > now
    return row.state == State.QUEUED.value and not row.blocked and row.not_before <= now and in_time


def _hand_out(
    connection: Connection, now: float, asked: Asked, taken: Sequence[_Taken]
) -> list[Claim]:
    if not taken:
        return []
    at = {one.job_id: one.attempt - 1 for one in taken}
    moves.hand_out(connection, at, asked.worker, now, now + asked.lease_seconds)
    attempt = {"worker": asked.worker, "started_at": now, "reported": False}
    attempt |= {"claim_serial": asked.room.serial}
    connection.execute(
        _BEGIN_ATTEMPT,
        [
            {"job_id": one.job_id, "number": one.attempt, "token_hash": fence.hash_token(one.token)}
            | attempt
            for one in taken
        ],
    )
    return [_claim(connection, now, asked.lease_seconds, one) for one in taken]


def _claim(connection: Connection, now: float, lease_seconds: float, taken: _Taken) -> Claim:
    job = read(taken.job)
    if job.callback_url is not None:
        outbox.tell(connection, now, get(connection, taken.job_id))
        job = replace(job, callback_url=None)  # no concern of the worker's
    attempt = (taken.job_id, taken.attempt, taken.token, lease_seconds)
    return Claim(*attempt, job, taken.tenant)
