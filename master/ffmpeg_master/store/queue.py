"""What becomes of a job that was handed out or waits: heartbeat, finish, cancel, expire.

Each is one transaction that compares state and attempt before it sets them, so whoever
comes late changes nothing. ``attempt`` and the token that belongs to it are the fence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, case, select, update

from ffmpeg_jobs.model import (
    FINAL_STATES,
    Heartbeat,
    HeartbeatOrder,
    JobStatus,
    Order,
    Outcome,
    Reason,
    Report,
    Result,
    State,
    Terms,
)
from ffmpeg_jobs.problems import Conflict
from ffmpeg_master.model import Act
from ffmpeg_master.store import audit, endings, fence, leases, logs, moves, outbox, transitions
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.jobs import dump, get, read
from ffmpeg_master.store.tables import is_live, is_queued, jobs
from ffmpeg_master.store.word import Word, hear

_LIVE: Final = (State.RUNNING.value, State.PAUSED.value)
#: Jobs that ``expire`` or ``overdue`` end at once.
ENDED_MOST: Final = 100
_STILL_BLOCKED: Final = "jobs that it depends on had not completed in time"


# What runs often is built once: building a statement takes longer than running it.
#: Leases that ran out; who is held by another transaction is just being heard, or ended.
_LATE: Final = (
    select(jobs)
    .where(is_live, jobs.c.lease_until < bindparam("now"))
    .limit(ENDED_MOST)
    .with_for_update(skip_locked=True)
)
#: Queued jobs that would start later than they may.
_OVERDUE: Final = (
    select(jobs.c.id, jobs.c.attempt, jobs.c.blocked)
    .where(is_queued, jobs.c.deadline <= bindparam("now"))
    .order_by(jobs.c.deadline)
    .limit(ENDED_MOST)
    .with_for_update(skip_locked=True)
)
_ASK_END: Final = update(jobs).where(jobs.c.id == bindparam("job_id"), is_live)


@dataclass(frozen=True)
class Heard:
    """What a heartbeat changed, and what its answer is made of."""

    orders: tuple[HeartbeatOrder, ...]
    word: Word


def heartbeat(
    store: Store,
    worker: str,
    heartbeat: Heartbeat,
    lease_seconds: float,
    serves: str | None = None,
) -> Heard:
    """Extend the leases of what ``worker`` reports; an order for each. Raises NotFound.

    ``serves``: the tenant that its key is for, None: everybody.

    A job that it holds and does not report keeps its lease until that runs out, or
    ``giveback.unheard`` finds it: a claim may be on its way.
    """
    with store.write() as connection:
        now = store.now()
        word = hear(connection, now, worker, heartbeat)
        rows = fence.latest(connection, map(fence.said, heartbeat.running))
        found = {report: rows.get(fence.said(report)) for report in heartbeat.running}
        held = {report: row for report, row in found.items() if _holds(worker, row, serves)}
        until = {report: leases.longer(row, now + lease_seconds) for report, row in held.items()}
        moves.hear(connection, [_heard(report, now, until[report]) for report in held])
        orders = tuple(_order(report, held.get(report)) for report in heartbeat.running)
    return Heard(orders, word)


def _holds(worker: str, row: Any, serves: str | None) -> bool:
    if row is None or serves not in (None, row.tenant):
        return False
    return row.state in _LIVE and row.worker == worker


def _heard(report: Report, now: float, lease_until: float) -> dict[str, Any]:
    """What a job's row says then."""
    state = State.PAUSED if report.in_force and report.in_force.paused else State.RUNNING
    values: dict[str, Any] = {"of_job": report.job_id, "at": report.attempt}
    values |= {"lease_until": lease_until}
    values |= {"updated_at": now, "state": state.value, "unmet": report.unmet}
    values["in_force"] = None if report.in_force is None else dump(report.in_force)
    if report.progress is not None:
        values["progress"] = dump(report.progress)
    if report.usage is not None:
        values["usage"] = dump(report.usage)
    return values


def _order(report: Report, row: Any) -> HeartbeatOrder:
    if row is None:
        return HeartbeatOrder(report.job_id, report.attempt, Order.LOST)
    order = Order.CANCEL if row.cancel_requested else Order.CONTINUE
    return HeartbeatOrder(report.job_id, report.attempt, order, _wanted(row))


def _wanted(row: Any) -> Terms:
    """The terms that are asked of a job now."""
    limits = read(row.job).resource_limits
    return Terms(row.pause_requested, limits.max_cpu_percent, limits.max_memory_mb)


def finish(store: Store, result: Result, retry_seconds: float) -> tuple[JobStatus, str] | None:
    """End an attempt as its worker tells it; its job, as it stands now, and the worker's name.

    None: it had told the same before.
    Raises StaleAttempt, and then nothing was changed.
    """
    with store.write() as connection:
        now = store.now()
        row = fence.held(connection, result.job_id, result.attempt, result.token)
        ending = endings.of_result(connection, now, row, result, retry_seconds=retry_seconds)
        if ending is None:
            return None
        logs.keep(connection, [result])
        return endings.write(connection, now, [ending])[0], ending.worker


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
        if status.cancel_requested or status.state is State.CANCELED:
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
        moves.end_queued(connection, [{"of_job": status.id, "at": status.attempt, **values}])
    else:
        connection.execute(_ASK_END, values | {"job_id": status.id})
    audit.note(connection, now, act, status.id)
    after = get(connection, status.id)
    return outbox.tell(connection, now, after) if after.state is State.CANCELED else after


def expire(store: Store, lease_seconds: float) -> list[tuple[JobStatus, str]]:
    """End up to ENDED_MOST attempts whose lease ran out; their jobs, as they stand now, and who
    held them.

    A job waited as long as the lease for what was no fault of its own: it is not kept waiting.
    """
    with store.write() as connection:
        now = store.now()
        late = [
            endings.of_outcome(
                connection,
                now,
                row,
                transitions.lost(row.worker, _silent_seconds(row, now, lease_seconds)),
                retry_seconds=0,
                reported=False,
            )
            for row in connection.execute(_LATE, {"now": now}).all()
        ]
        held_by = [ending.worker for ending in late]
        return list(zip(endings.write(connection, now, late), held_by, strict=True))


def _silent_seconds(row: Any, now: float, lease_seconds: float) -> float:
    return float(max(now - row.lease_until + lease_seconds, now - row.updated_at))


def overdue(store: Store) -> list[JobStatus]:
    """End up to ENDED_MOST queued jobs whose deadline passed; as they stand now."""
    with store.write() as connection:
        now = store.now()
        rows = connection.execute(_OVERDUE, {"now": now}).all()
        ended = {"state": State.FAILED.value, "updated_at": now, "finished_at": now}
        for row in rows:
            why = _STILL_BLOCKED if row.blocked else "no worker was free in time"
            outcome = dump(Outcome(State.FAILED, Reason.DEADLINE_PASSED, why))
            move = {"of_job": row.id, "at": row.attempt, "outcome": outcome, **ended}
            moves.end_queued(connection, [move])
        return [outbox.tell(connection, now, get(connection, row.id)) for row in rows]


def renew(connection: Connection, now: float, lease_seconds: float) -> int:
    """Let every lease last at least as long as one that is given now; how many there are."""
    until = now + lease_seconds
    longer = case((jobs.c.lease_until > until, jobs.c.lease_until), else_=until)
    lasts = {"lease_until": longer, "updated_at": now}
    return int(connection.execute(update(jobs).where(is_live).values(lasts)).rowcount)


def forget(store: Store, ended_before: float, most: int) -> int:
    """Delete up to ``most`` jobs that ended before that Unix time; how many they were."""
    with store.write() as connection:
        over = (jobs.c.finished_at < ended_before, ~jobs.c.awaited)
        old = select(jobs.c.number).where(*over).limit(most)
        gone = jobs.delete().where(jobs.c.number.in_(old.with_for_update(skip_locked=True)))
        return int(connection.execute(gone).rowcount)
