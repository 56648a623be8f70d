"""What there is to read of jobs: one, a page of them, counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import and_, bindparam, exists, func, select

from ffmpeg_jobs.model import Job, JobStatus, Outcome, Progress, Queue, State, Terms, Usage
from ffmpeg_jobs.problems import NotFound
from ffmpeg_jobs.schema import from_json, to_json
from ffmpeg_master.model import Filters, Needs
from ffmpeg_master.store import tallies
from ffmpeg_master.store.engine import Connection, Store, writes
from ffmpeg_master.store.tables import jobs, labels

#: No job's number is over it.
_NUMBER_MAX: Final = (1 << 63) - 1

# What runs often is built once: building a statement takes longer than running it.
#: One job.
BY_ID: Final = select(jobs).where(jobs.c.id == bindparam("job_id"))
#: The same, until the transaction ends for nobody else to change.
_HOLD_BY_ID: Final = BY_ID.with_for_update()
_DUE_AT: Final = select(jobs.c.not_before).where(jobs.c.id == bindparam("job_id"))
_TENANT: Final = select(jobs.c.tenant).where(jobs.c.id == bindparam("job_id"))
#: What choosing a worker for a job needs to know.
NEEDS: Final = (
    *(jobs.c.encoder, jobs.c.cpu_percent, jobs.c.memory_mb, jobs.c.disk_mb, jobs.c.worker_labels),
    *(jobs.c.enforced, jobs.c.unenforced),
)


def dump(noun: object) -> str:
    """A noun as it is kept: equal nouns give equal texts."""
    return json.dumps(to_json(noun), sort_keys=True, separators=(",", ":"))


def timestamp(seconds: float) -> str:
    """Unix time in seconds as RFC 3339, UTC, to the millisecond."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _timestamp_or_none(seconds: float | None) -> str | None:
    return None if seconds is None else timestamp(seconds)


def get(connection: Connection, job_id: str) -> JobStatus:
    """One job, inside a transaction; in one that writes, it is held. Raises NotFound."""
    query = _HOLD_BY_ID if writes(connection) else BY_ID
    row = connection.execute(query, {"job_id": job_id}).first()
    if row is None:
        raise unknown(job_id)
    return status_of(row)


def check_tenant(store: Store, job_id: str, tenant: str) -> None:
    """Raises NotFound for a job of another tenant, in the words for one that is not there."""
    with store.read() as connection:
        if connection.execute(_TENANT, {"job_id": job_id}).scalar() != tenant:
            raise unknown(job_id)


def unknown(job_id: str) -> NotFound:
    """For a job that is not there."""
    return NotFound(f"there is no job {job_id}")


def show(store: Store, job_id: str) -> JobStatus:
    """One job. Raises NotFound."""
    with store.read() as connection:
        return get(connection, job_id)


def due_at(store: Store, job_id: str) -> float:
    """The Unix time before which a job is not handed out."""
    with store.read() as connection:
        found = connection.execute(_DUE_AT, {"job_id": job_id}).scalar_one_or_none()
    return 0.0 if found is None else float(found)


def page(store: Store, filters: Filters, limit: int) -> tuple[list[JobStatus], int | None]:
    """Up to ``limit`` jobs, newest first, and the cursor of the next page if there is one."""
    with store.read() as connection:
        query = select(jobs).where(*_conditions(filters)).order_by(jobs.c.number.desc())
        rows = connection.execute(query.limit(limit + 1)).all()
    following = rows[limit - 1].number if len(rows) > limit else None
    return [status_of(row) for row in rows[:limit]], following


def _conditions(filters: Filters) -> list[Any]:
    same = {"state": filters.state, "queue": filters.queue, "worker": filters.worker}
    same |= {"tenant": filters.tenant, "group_name": filters.group}
    conditions = [jobs.c[name] == value for name, value in same.items() if value is not None]
    if filters.before is not None:
        conditions.append(jobs.c.number < filters.before)
    return [*conditions, *_span(filters.since, filters.until), *_labeled(filters.label)]


def _span(since: float | None, until: float | None) -> Iterator[Any]:
    """Submitted in that time. Numbers go up with it, so that one step in an index finds where
    the list begins and ends."""
    when = jobs.c.created_at
    if since is not None:
        before = select(jobs.c.number).where(when < since).order_by(when.desc()).limit(1)
        yield jobs.c.number > func.coalesce(before.scalar_subquery(), 0)
        yield when >= since
    if until is not None:
        after = select(jobs.c.number).where(when >= until).order_by(when).limit(1)
        yield jobs.c.number < func.coalesce(after.scalar_subquery(), _NUMBER_MAX)
        yield when < until


def _labeled(label: tuple[str, str] | None) -> Iterator[Any]:
    if label is not None:
        mine = and_(labels.c.name == label[0], labels.c.value == label[1])
        yield exists().where(labels.c.job_number == jobs.c.number, mine)


def needs(row: Any) -> Needs:
    """What the job of a row with NEEDS asks of a machine."""
    labels = tuple(json.loads(row.worker_labels).items()) if row.worker_labels else ()
    enforced = True if row.enforced else False if row.unenforced else None
    return Needs(row.encoder, row.cpu_percent, row.memory_mb, row.disk_mb, labels, enforced)


def count(store: Store, filters: Filters) -> dict[str, dict[str, int]]:
    """How many jobs there are by queue and state."""
    kept = Filters(state=filters.state, queue=filters.queue, tenant=filters.tenant)
    with store.read() as connection:
        if filters == kept:
            same = {"state": kept.state, "queue": kept.queue, "tenant": kept.tenant}
            found = tallies.read(connection, **same)
        else:
            found = _count(connection, filters)
    return {
        queue.value: {state.value: found.get((state.value, queue.value), 0) for state in State}
        for queue in Queue
    }


def _count(connection: Connection, filters: Filters) -> dict[tuple[str, str], int]:
    kinds = (jobs.c.state, jobs.c.queue)
    query = select(*kinds, func.count().label("jobs")).where(*_conditions(filters))
    rows = connection.execute(query.group_by(*kinds))
    return {(row.state, row.queue): row.jobs for row in rows}


def counts(store: Store) -> tuple[int, int]:
    """How many jobs are queued, and how many are held by workers."""
    with store.read() as connection:
        found = tallies.read(connection)
    states: Counter[str] = Counter()
    for (state, _), number in found.items():
        states[state] += number
    return states[State.QUEUED.value], states[State.RUNNING.value] + states[State.PAUSED.value]


def status_of(row: Any) -> JobStatus:
    """The job of a row of the table."""
    outcome = from_json(Outcome, json.loads(row.outcome)) if row.outcome else None
    running = from_json(Usage, json.loads(row.usage)) if row.usage else None
    return JobStatus(
        id=row.id,
        state=State(row.state),
        job=from_json(Job, json.loads(row.job)),
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
        attempt=row.attempt,
        worker=row.worker,
        started_at=_timestamp_or_none(row.started_at),
        finished_at=_timestamp_or_none(row.finished_at),
        cancel_requested=row.cancel_requested,
        pause_requested=row.pause_requested,
        in_force=from_json(Terms, json.loads(row.in_force)) if row.in_force else None,
        unmet=row.unmet,
        reason=outcome.reason if outcome else None,
        error=outcome.error if outcome else None,
        log_tail=outcome.log_tail if outcome else (),
        exit_status=outcome.exit_status if outcome else None,
        progress=from_json(Progress, json.loads(row.progress)) if row.progress else None,
        usage=outcome.usage if outcome else running,
        media=outcome.media if outcome else None,
        enforced=outcome.enforced if outcome else None,
        given_back=row.given_back,
        max_attempts=row.max_attempts,
        awaited=row.awaited,
    )
