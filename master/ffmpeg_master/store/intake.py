"""A job becomes queued: accepted durably, once per idempotency key."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import insert, select

from ffmpeg_jobs.model import Job, JobStatus, State
from ffmpeg_jobs.problems import Conflict
from ffmpeg_jobs.schema import unix_seconds
from ffmpeg_master.model import DEFAULT_TENANT, Act, Needs
from ffmpeg_master.store import audit
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.jobs import dump, get
from ffmpeg_master.store.tables import jobs, labels


@dataclass(frozen=True)
class Submission:
    """A job to be queued, with what choosing needs to know of it."""

    job: Job
    needs: Needs
    rank: int  #: smaller is handed out sooner
    body_digest: str  #: tells a repeat from another job under the same idempotency key
    idempotency_key: str | None = None
    tenant: str = DEFAULT_TENANT
    submitter: str | None = None  #: the name of the key that it came with
    line: str = ""  #: where it waits
    place: int | None = None  #: in its batch; None: it came alone


def submit(store: Store, submission: Submission, act: Act | None = None) -> tuple[JobStatus, bool]:
    """Accept a job durably; False: it is the one that came with this idempotency key before.

    Raises Conflict if another job came with that key.
    """
    with store.write() as connection:
        earlier = _by_idempotency_key(connection, submission)
        if earlier is not None:
            return get(connection, earlier), False
        now = store.now()
        status = _accept(connection, submission, now)
        audit.note(connection, now, act, status.id)
        return status, True


def submit_batch(
    store: Store, submissions: Sequence[Submission], act: Act | None = None
) -> tuple[list[JobStatus], bool]:
    """Accept all of a batch or nothing, durably; False: it came with this key before.

    Of one that came before, the jobs that are still kept. Raises Conflict if another batch
    came with that key.
    """
    with store.write() as connection:
        found = (_by_idempotency_key(connection, submission) for submission in submissions)
        earlier = [job_id for job_id in found if job_id is not None]
        if earlier:
            return [get(connection, job_id) for job_id in earlier], False
        now = store.now()
        accepted = [_accept(connection, submission, now) for submission in submissions]
        audit.note(connection, now, act, *(status.id for status in accepted))
        return accepted, True


def _accept(connection: Connection, submission: Submission, now: float) -> JobStatus:
    job_id = _new_id()
    row = connection.execute(insert(jobs), _row(submission, job_id, now))
    pairs = submission.job.labels.items()
    if pairs:
        number = row.inserted_primary_key[0]
        values = [{"job_number": number, "name": n, "value": v} for n, v in pairs]
        connection.execute(insert(labels), values)
    return get(connection, job_id)


def _new_id() -> str:
    # 60 random bits, in RFC 4648's base32 alphabet.
    return base64.b32encode(secrets.token_bytes(8)).decode().lower()[:12]


def _by_idempotency_key(connection: Connection, submission: Submission) -> str | None:
    if submission.idempotency_key is None:
        return None
    same_key = jobs.c.idempotency_key == _idempotency_key(submission)
    row = connection.execute(select(jobs.c.id, jobs.c.body_digest).where(same_key)).first()
    if row is None:
        return None
    if row.body_digest != submission.body_digest:
        raise Conflict(
            f"Idempotency-Key: job {row.id} came with this key and another body; "
            "use a new key for a new job",
            job=row.id,
        )
    return str(row.id)


def _idempotency_key(submission: Submission) -> str | None:
    """What is unique over all tenants, as the column is: SQLite cannot make it less so."""
    key = submission.idempotency_key
    if key is not None and submission.place is not None:
        # No tenant's name is as long as the hash: the two forms never meet.
        return f"{sha256(f'{submission.tenant} {key}'.encode()).hexdigest()} {submission.place}"
    if key is None or submission.tenant == DEFAULT_TENANT:
        return key
    # No key of the default tenant's holds a space.
    return f"{submission.tenant} {sha256(key.encode()).hexdigest()}"


def _row(submission: Submission, job_id: str, now: float) -> dict[str, Any]:
    job, needs = submission.job, submission.needs
    return {
        "id": job_id,
        "state": State.QUEUED.value,
        "job": dump(job),
        "queue": job.queue.value,
        "rank": submission.rank,
        "encoder": needs.encoder,
        "cpu_percent": needs.cpu_percent,
        "memory_mb": needs.memory_mb,
        "disk_mb": needs.disk_mb,
        "enforced": needs.enforced is True,
        "unenforced": needs.enforced is False,
        "worker_labels": json.dumps(dict(needs.labels)) if needs.labels else None,
        "line": submission.line or f"{submission.rank}/",
        "deadline": None if job.deadline is None else unix_seconds(job.deadline),
        "created_at": now,
        "updated_at": now,
        "not_before": now if job.not_before is None else max(now, unix_seconds(job.not_before)),
        "attempt": 0,
        "max_attempts": job.max_attempts,
        "cancel_requested": False,
        "pause_requested": False,
        "idempotency_key": _idempotency_key(submission),
        "body_digest": submission.body_digest,
        "tenant": submission.tenant,
        "submitter": submission.submitter,
    }
