"""What becomes of a job that was handed out or waits: heartbeat, finish, cancel, expire.

Each is one transaction that compares state and attempt before it sets them, so whoever
comes late changes nothing. ``attempt`` and the token that belongs to it are the fence.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

from sqlalchemy import bindparam, select, update

from ffmpeg_jobs.model import (
    FINAL_STATES,
    Heartbeat,
    HeartbeatOrder,
    JobStatus,
    Limits,
    Order,
    Outcome,
    Reason,
    Report,
    Result,
    State,
    Terms,
)
from ffmpeg_jobs.problems import Conflict
from ffmpeg_jobs.schema import from_json
from ffmpeg_master.model import Act
from ffmpeg_master.store import audit, fence, outbox, transitions
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.jobs import dump, get, status_of
from ffmpeg_master.store.tables import attempts, is_live, is_queued, jobs, workers
from ffmpeg_master.store.workers import unknown

_LIVE: Final = (State.RUNNING.value, State.PAUSED.value)
_STILL_BLOCKED: Final = "jobs that it depends on had not completed in time"


# What runs often is built once: building a statement takes longer than running it.
#: Leases that ran out; who is held by another transaction is just being heard, or ended.
_LATE: Final = (
    select(jobs)
    .where(is_live, jobs.c.lease_until < bindparam("now"))
    .limit(100)
    .with_for_update(skip_locked=True)
)
#: Queued jobs that would start later than they may.
_OVERDUE: Final = (
    select(jobs.c.id, jobs.c.blocked)
    .where(is_queued, jobs.c.deadline <= bindparam("now"))
    .limit(100)
    .with_for_update(skip_locked=True)
)
_CHANGE_JOB: Final = update(jobs).where(jobs.c.id == bindparam("job_id"))
_END_ATTEMPT: Final = update(attempts).where(
    attempts.c.job_id == bindparam("of_job"), attempts.c.number == bindparam("at")
)
#: The workers that were lost under a job.
_LOST: Final = (
    select(attempts.c.worker)
    .where(attempts.c.job_id == bindparam("of_job"), attempts.c.reason == Reason.WORKER_LOST.value)
    .order_by(attempts.c.number)
)


def heartbeat(
    store: Store, worker: str, heartbeat: Heartbeat, lease_seconds: float
) -> tuple[HeartbeatOrder, ...]:
    """Extend the leases of what ``worker`` reports; an order for each. Raises NotFound.

    A job that it holds and does not report keeps its lease until that runs out, or
    ``giveback.unheard`` finds it: a claim may be on its way.
    """
    with store.write() as connection:
        now = store.now()
        seen = connection.execute(
            update(workers)
            .where(workers.c.name == worker)
            .values(
                last_heartbeat_at=now,
                draining=heartbeat.draining,
                free=None if heartbeat.free is None else dump(heartbeat.free),
                held_back=heartbeat.held_back,
            )
        )
        if seen.rowcount == 0:
            raise unknown(worker)
        return tuple(
            _extend(connection, worker, report, now, now + lease_seconds)
            # Always in the same order, so that no two wait for each other.
            for report in sorted(heartbeat.running, key=lambda report: report.job_id)
        )


def _extend(
    connection: Connection, worker: str, report: Report, now: float, lease_until: float
) -> HeartbeatOrder:
    found = fence.latest(connection, report.job_id, report.attempt, report.token)
    if found is None or found.state not in _LIVE or found.worker != worker:
        return HeartbeatOrder(report.job_id, report.attempt, Order.LOST)
    state = State.PAUSED if report.in_force and report.in_force.paused else State.RUNNING
    values: dict[str, Any] = {"job_id": report.job_id, "lease_until": lease_until}
    values |= {"updated_at": now, "state": state.value, "unmet": report.unmet}
    values["in_force"] = None if report.in_force is None else dump(report.in_force)
    if report.progress is not None:
        values["progress"] = dump(report.progress)
    if report.usage is not None:
        values["usage"] = dump(report.usage)
    connection.execute(_CHANGE_JOB, values)
    order = Order.CANCEL if found.cancel_requested else Order.CONTINUE
    return HeartbeatOrder(report.job_id, report.attempt, order, _wanted(found))


def _wanted(row: Any) -> Terms:
    """The terms that are asked of a job now."""
    limits = from_json(Limits, json.loads(row.job)["resource_limits"])
    return Terms(row.pause_requested, limits.max_cpu_percent, limits.max_memory_mb)


def finish(store: Store, result: Result, retry_seconds: float) -> JobStatus | None:
    """End an attempt as its worker tells it; None: it had told the same before.

    Raises StaleAttempt, and then nothing was changed.
    """
    with store.write() as connection:
        return told(connection, store.now(), result, retry_seconds)


def told(
    connection: Connection, now: float, result: Result, retry_seconds: float
) -> JobStatus | None:
    """``finish``, inside a transaction."""
    outcome = result.outcome
    found = fence.held(connection, result.job_id, result.attempt, result.token)
    if found.ended_at is not None:
        if found.told != dump(outcome):
            raise fence.stale(result.job_id, result.attempt)
        return None
    status = end(connection, now, found, outcome, retry_seconds, reported=True)
    return outbox.tell(connection, now, status)


def end(
    connection: Connection,
    now: float,
    row: Any,
    outcome: Outcome,
    retry_seconds: float,
    *,
    reported: bool,
) -> JobStatus:
    """Close the attempt that ``row`` is at as ``outcome`` says, and move its job on; the job."""
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
    close(connection, now, row, {"outcome": told, "reported": reported}, outcome.reason)
    if then.state is State.FAILED and outcome.reason is Reason.WORKER_LOST:
        lost = connection.execute(_LOST, {"of_job": row.id}).scalars().all()
        outcome = transitions.suspected(outcome, lost)
    return move(connection, now, row, then, outcome=dump(outcome))


def close(
    connection: Connection, now: float, row: Any, told: dict[str, Any], reason: Reason | None
) -> None:
    """Write into the attempt that ``row`` is at how it ended."""
    attempt = {"of_job": row.id, "at": row.attempt, "ended_at": now}
    connection.execute(_END_ATTEMPT, attempt | told | {"reason": reason and reason.value})


def move(
    connection: Connection, now: float, row: Any, then: transitions.Next, **more: Any
) -> JobStatus:
    """Take a job from its worker to where it goes next; the job."""
    final = then.state in FINAL_STATES
    values = {
        "job_id": row.id,
        "state": then.state.value,
        "updated_at": now,
        "finished_at": now if final else None,
        "not_before": now + then.wait_seconds,
        "lease_until": None,
        "pause_requested": False,
        "in_force": None,
        "unmet": None,
        "worker": row.worker if final else None,
        "avoid_worker": row.worker,
    }
    values |= more
    connection.execute(_CHANGE_JOB, values)
    return status_of(SimpleNamespace(**{**row._mapping, **values}))


def cancel(store: Store, job_id: str, act: Act | None = None) -> tuple[JobStatus, bool]:
    """End a queued job now, ask for the end of a running one; whether this ended it.

    A repeat changes nothing. Raises NotFound or Conflict.
    """
    with store.write() as connection:
        status = get(connection, job_id)
        if status.state in (State.COMPLETED, State.FAILED):
            raise Conflict(
                f"job {job_id} is {status.state.value}; only a live one can be canceled",
                state=status.state.value,
            )
        if status.cancel_requested:
            return status, False
        return _cancel(connection, status, store.now(), act), status.state is State.QUEUED


def cancel_all(store: Store, ids: Iterable[str], act: Act | None = None) -> list[JobStatus]:
    """Cancel those of the jobs that can be, in one transaction; they, as they stand now."""
    with store.write() as connection:
        found = [get(connection, job_id) for job_id in sorted(ids)]
        live = [job for job in found if job.state not in FINAL_STATES and not job.cancel_requested]
        return [_cancel(connection, status, store.now(), act) for status in live]


def _cancel(connection: Connection, status: JobStatus, now: float, act: Act | None) -> JobStatus:
    values: dict[str, Any] = {"cancel_requested": True, "updated_at": now}
    if status.state is State.QUEUED:
        outcome = Outcome(State.CANCELED, Reason.CANCELED, "canceled before it ran")
        values |= {"state": State.CANCELED.value, "finished_at": now, "outcome": dump(outcome)}
    connection.execute(_CHANGE_JOB, values | {"job_id": status.id})
    audit.note(connection, now, act, status.id)
    after = get(connection, status.id)
    return outbox.tell(connection, now, after) if after.state is State.CANCELED else after


def expire(store: Store, lease_seconds: float, retry_seconds: float) -> list[JobStatus]:
    """End the attempts whose lease ran out; their jobs, as they stand now."""
    found = []
    with store.write() as connection:
        now = store.now()
        rows = connection.execute(_LATE, {"now": now}).all()
        for row in rows:
            silent_seconds = now - row.lease_until + lease_seconds
            outcome = transitions.lost(row.worker, silent_seconds)
            status = end(connection, now, row, outcome, retry_seconds, reported=False)
            found.append(outbox.tell(connection, now, status))
    return found


def overdue(store: Store) -> list[JobStatus]:
    """End queued jobs whose deadline passed; as they stand now."""
    with store.write() as connection:
        now = store.now()
        rows = connection.execute(_OVERDUE, {"now": now}).all()
        ended = {"state": State.FAILED.value, "updated_at": now, "finished_at": now}
        for row in rows:
            why = _STILL_BLOCKED if row.blocked else "no worker was free in time"
            outcome = dump(Outcome(State.FAILED, Reason.DEADLINE_PASSED, why))
            connection.execute(_CHANGE_JOB, {"job_id": row.id, "outcome": outcome, **ended})
        return [outbox.tell(connection, now, get(connection, row.id)) for row in rows]


def renew(connection: Connection, until: float) -> int:
    """Let every lease last until that Unix time; how many there are."""
    return int(connection.execute(update(jobs).where(is_live).values(lease_until=until)).rowcount)


def forget(store: Store, ended_before: float, most: int) -> int:
    """Delete up to ``most`` jobs that ended before that Unix time; how many they were."""
    with store.write() as connection:
        over = (jobs.c.finished_at < ended_before, ~jobs.c.awaited)
        old = select(jobs.c.number).where(*over).limit(most)
        gone = jobs.delete().where(jobs.c.number.in_(old.with_for_update(skip_locked=True)))
        return int(connection.execute(gone).rowcount)
