"""What there is to read of a job, and how many wait and run."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import bindparam, select

from ffmpeg_jobs.model import Job, JobStatus, Outcome, Progress, State, Terms, Usage
from ffmpeg_jobs.problems import NotFound
from ffmpeg_jobs.schema import from_json, to_json
from ffmpeg_master.model import Needs
from ffmpeg_master.store import tallies
from ffmpeg_master.store.engine import Connection, Store, writes
from ffmpeg_master.store.plans import planned_once
from ffmpeg_master.store.tables import jobs

# What runs often is built once: building a statement takes longer than running it.
#: One job.
BY_ID: Final = planned_once(select(jobs).where(jobs.c.id == bindparam("job_id")))
#: The same, until the transaction ends for nobody else to change.
_HOLD_BY_ID: Final = BY_ID.with_for_update()
_DUE_AT: Final = select(jobs.c.not_before).where(jobs.c.id == bindparam("job_id"))
_TENANT: Final = select(jobs.c.tenant).where(jobs.c.id == bindparam("job_id"))
#: Made once: of other than its defaults, ``json.dumps`` makes a new one each time.
_KEPT: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
#: Texts of jobs that are kept as nouns, and how long one may be: what is handed out was submitted
#: a moment ago, and what ends is looked at by several.
_READ_MOST: Final = 1024
_READ_CHARACTERS: Final = 4096
#: What choosing a worker for a job needs to know.
NEEDS: Final = (
    *(jobs.c.encoder, jobs.c.cpu_percent, jobs.c.memory_mb, jobs.c.disk_mb, jobs.c.worker_labels),
    *(jobs.c.enforced, jobs.c.unenforced, jobs.c.input_folder, jobs.c.output_folder),
)


def dump(noun: object) -> str:
    """A noun as it is kept: equal nouns give equal texts."""
    return _KEPT.encode(to_json(noun))


def read(text: str) -> Job:
    """A job as ``dump`` wrote it."""
    return _read(text) if len(text) <= _READ_CHARACTERS else from_json(Job, json.loads(text))


@lru_cache(_READ_MOST)
def _read(text: str) -> Job:
    return from_json(Job, json.loads(text))


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


def needs(row: Any) -> Needs:
    """What the job of a row with NEEDS asks of a machine."""
    labels = tuple(json.loads(row.worker_labels).items()) if row.worker_labels else ()
    enforced = True if row.enforced else False if row.unenforced else None
    sizes = row.cpu_percent, row.memory_mb, row.disk_mb
    return Needs(row.encoder, *sizes, labels, enforced, row.input_folder, row.output_folder)


def counts(store: Store, tenant: str | None = None) -> tuple[int, int]:
    """How many jobs of a tenant (None: of all) are queued, and how many are held by workers."""
    with store.read() as connection:
        found = tallies.read(connection, tenant=tenant)
    states: Counter[str] = Counter()
    for (state, _), number in found.items():
        states[state] += number
    return states[State.QUEUED.value], states[State.RUNNING.value] + states[State.PAUSED.value]


def status_of(row: Any, job: Job | None = None) -> JobStatus:
    """The job of a row of the table. ``job``: what it holds, if that is known."""
    outcome = from_json(Outcome, json.loads(row.outcome)) if row.outcome else None
    running = from_json(Usage, json.loads(row.usage)) if row.usage else None
    return JobStatus(
        id=row.id,
        state=State(row.state),
        job=job or read(row.job),
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
        tenant=row.tenant,
    )
