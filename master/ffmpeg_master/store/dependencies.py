"""Jobs that wait for other jobs.

A job that others depend on is marked ``awaited``; they are ``blocked``, with a row for each job
that they wait for, and stand in no line. When the awaited one has ended, ``settle`` tells them,
a few in each transaction, however many they are. No lock is waited for there, so that whoever
locks several jobs, always by their ids, meets nobody who does it in another order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import and_, bindparam, case, delete, exists, insert, select, update

from ffmpeg_jobs.model import JobStatus, Outcome, Reason, State
from ffmpeg_jobs.problems import Conflict
from ffmpeg_master.store import moves, outbox
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.jobs import dump, get
from ffmpeg_master.store.tables import dependencies, is_over, is_queued, jobs

#: Ended jobs, and jobs that wait for one of them, that one transaction deals with.
_OVER_MOST: Final = 50
_WAITING_MOST: Final = 200

_HOLD: Final = select(jobs.c.id, jobs.c.state, jobs.c.tenant).with_for_update()
_OVER: Final = select(jobs.c.id).where(is_over).limit(_OVER_MOST).with_for_update(skip_locked=True)
_IS_BLOCKED: Final = and_(is_queued, jobs.c.blocked)
#: Who waits for a job.
_WAITING: Final = (
    select(jobs.c.id, _IS_BLOCKED.label("waits"))
    .join(dependencies, dependencies.c.job_id == jobs.c.id)
    .where(dependencies.c.on_id == bindparam("over"))
    .limit(_WAITING_MOST)
    .with_for_update(of=jobs, skip_locked=True)
)
_ANY_WAITING: Final = select(dependencies.c.job_id).where(dependencies.c.on_id == bindparam("over"))
_WAITS_FOR: Final = (
    select(dependencies.c.on_id)
    .where(dependencies.c.job_id == bindparam("waits"))
    .order_by(dependencies.c.on_id)
)
_CHANGE: Final = update(jobs).where(jobs.c.id == bindparam("over"))


@dataclass(frozen=True)
class Settled:
    """What ``settle`` did."""

    steps: int  #: 0: there was nothing to do
    ready: int  #: jobs that wait for no other job any more
    failed: tuple[JobStatus, ...]  #: jobs that ended, because one that they waited for did


@dataclass(frozen=True)
class Found:
    """A job that another may depend on."""

    state: State
    tenant: str


def hold(connection: Connection, ids: Iterable[str]) -> Mapping[str, Found]:
    """Those of the jobs that are there; nobody else changes them before the transaction ends."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    rows = connection.execute(_HOLD.where(jobs.c.id.in_(wanted)).order_by(jobs.c.id))
    return {row.id: Found(State(row.state), row.tenant) for row in rows}


def block(connection: Connection, waiting: Mapping[str, Sequence[str]]) -> None:
    """Have each of these jobs wait for others, which are held and may still complete."""
    pairs = [{"job_id": job_id, "on_id": on} for job_id, others in waiting.items() for on in others]
    if pairs:
        connection.execute(insert(dependencies), pairs)
        awaited = sorted({pair["on_id"] for pair in pairs})
        connection.execute(update(jobs).where(jobs.c.id.in_(awaited)).values(awaited=True))


def block_again(connection: Connection, status: JobStatus) -> bool:
    """Whether a job that is to be queued again waits for others; they are held.

    Raises Conflict if one of them cannot complete any more.
    """
    if status.attempt > 0:  # they had all completed
        return False
    found = hold(connection, status.job.depends_on)
    left = []
    for on in status.job.depends_on:
        state = found[on].state if on in found else None
        if state in (None, State.FAILED, State.CANCELED):
            what = f"is {state.value}" if state else "is no longer kept"
            raise Conflict(
                f"job {status.id} is {status.state.value}; job {on}, which it depends on, {what}",
                state=status.state.value,
            )
        if state is not State.COMPLETED:
            left.append(on)
    connection.execute(delete(dependencies).where(dependencies.c.job_id == status.id))
    block(connection, {status.id: left})
    return bool(left)


def waits_for(store: Store, job_id: str) -> list[str]:
    """The ids of the jobs that a queued one waits for."""
    with store.read() as connection:
        return [row.on_id for row in connection.execute(_WAITS_FOR, {"waits": job_id})]


def settle(store: Store) -> Settled:
    """Tell some of those who wait for jobs that ended: start, or end too."""
    with store.write() as connection:
        over = [row.id for row in connection.execute(_OVER)]
        steps, ready, failed = 0, 0, list[str]()
        for job_id in over:
            rows = connection.execute(_WAITING, {"over": job_id}).all()
            _unlink(connection, job_id, [row.id for row in rows])
            status = get(connection, job_id)
            waits = [row.id for row in rows if row.waits]
            if status.state is State.COMPLETED:
                ready += _release(connection, waits, store.now())
            else:
                _fail(connection, waits, _because(status), store.now())
                failed += waits
            steps += len(rows)
            if connection.execute(_ANY_WAITING.limit(1), {"over": job_id}).first() is None:
                connection.execute(_CHANGE, {"over": job_id, "awaited": False})
                steps += 1
        now = store.now()
        told = (outbox.tell(connection, now, get(connection, job_id)) for job_id in failed)
        return Settled(steps, ready, tuple(told))


def _unlink(connection: Connection, over: str, waiting: Sequence[str]) -> None:
    mine = and_(dependencies.c.on_id == over, dependencies.c.job_id.in_(waiting))
    connection.execute(delete(dependencies).where(mine))


def _release(connection: Connection, waiting: Sequence[str], now: float) -> int:
    others = exists().where(dependencies.c.job_id == jobs.c.id)
    # It waits for a worker from now on, or from its own time.
    since = case((jobs.c.not_before < now, now), else_=jobs.c.not_before)
    ready = update(jobs).where(jobs.c.id.in_(waiting), ~others)
    values = {"blocked": False, "updated_at": now, "not_before": since}
    return int(connection.execute(ready.values(values)).rowcount)


def _fail(connection: Connection, waiting: Sequence[str], outcome: Outcome, now: float) -> None:
    ended = {"state": State.FAILED.value, "outcome": dump(outcome), "blocked": False}
    ended |= {"updated_at": now, "finished_at": now}
    rows = connection.execute(select(jobs.c.id, jobs.c.attempt).where(jobs.c.id.in_(waiting))).all()
    moves.end_queued(connection, [{"of_job": row.id, "at": row.attempt, **ended} for row in rows])
    connection.execute(delete(dependencies).where(dependencies.c.job_id.in_(waiting)))


def _because(status: JobStatus) -> Outcome:
    """The outcome of those who waited for a job that did not complete: names the first that did
    not."""
    error = status.error
    if status.reason is not Reason.DEPENDENCY_FAILED:
        reason = f" ({status.reason.value})" if status.reason else ""
        how = "was canceled" if status.state is State.CANCELED else f"failed{reason}"
        error = f"never started, because job {status.id} {how}"
    return Outcome(State.FAILED, Reason.DEPENDENCY_FAILED, error)
