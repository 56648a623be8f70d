"""A job becomes queued: accepted durably, once per idempotency key."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, Final

from sqlalchemy import String, bindparam, insert, select

from ffmpeg_jobs.contract import DEPENDENCY
from ffmpeg_jobs.model import Job, JobStatus, State
from ffmpeg_jobs.problems import Conflict, InvalidField
from ffmpeg_jobs.schema import unix_seconds
from ffmpeg_master import scheduling
from ffmpeg_master.model import DEFAULT_TENANT, Act, Needs
from ffmpeg_master.store import audit, dependencies, outputs, tenants
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.jobs import dump, get, status_of
from ffmpeg_master.store.plans import padded, planned_once
from ffmpeg_master.store.psycopg import unread
from ffmpeg_master.store.tables import jobs, labels

_INSERT: Final = planned_once(insert(jobs))
_LABEL: Final = unread(
    planned_once(
        insert(labels).from_select(
            ["job_number", "name", "value"],
            select(
                jobs.c.number, bindparam("called", type_=String), bindparam("worth", type_=String)
            ).where(jobs.c.id == bindparam("of")),
        )
    )
)
#: Who came with these keys.
_BY_KEYS: Final = planned_once(
    select(jobs.c.id, jobs.c.body_digest, jobs.c.idempotency_key)
    .where(jobs.c.idempotency_key.in_(bindparam("keys", expanding=True)))
    .order_by(jobs.c.number)
)
#: What a job's row says beside what it is given.
_NO_OUTPUT: Final = {"output_hash": None, "output_share": ""}
_NEW: Final = {**dict.fromkeys(jobs.c.keys()), "given_back": 0}


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

    Raises Conflict if another job came with that key, or writes to the same output; InvalidField if
    it depends on one that is not there or cannot complete; TenantForbids or TenantFull by its
    tenant's limits.
    """
    with store.write() as connection:
        earlier = _earlier(connection, [submission])
        if earlier:
            return get(connection, earlier[0]), False
        now = store.now()
        (status,) = _accept(connection, [submission], now)
        audit.note(connection, now, act, status.id)
        return status, True


def submit_batch(
    store: Store, submissions: Sequence[Submission], act: Act | None = None
) -> tuple[list[JobStatus], bool]:
    """Accept all of a batch or nothing, durably; False: it came with this key before.

    Of one that came before, the jobs that are still kept. Raises Conflict if another batch
    came with that key; the others as ``submit`` does.
    """
    with store.write() as connection:
        earlier = _earlier(connection, submissions)
        if earlier:
            return [get(connection, job_id) for job_id in earlier], False
        now = store.now()
        accepted = _accept(connection, submissions, now)
        audit.note(connection, now, act, *(status.id for status in accepted))
        return accepted, True


def _accept(
    connection: Connection, submissions: Sequence[Submission], now: float
) -> list[JobStatus]:
    ids = [_new_id() for _ in submissions]
    named = [_by_id(submission, ids) for submission in submissions]
    waiting = _waiting(connection, dict(zip(ids, named, strict=True)))
    named = _admitted(connection, named, now)
    writers = [
        outputs.Writer(job_id, one.job, one.tenant, one.place)
        for job_id, one in zip(ids, named, strict=True)
    ]
    written = outputs.columns(connection, writers)
    rows = [
        _row(submission, job_id, now, job_id in waiting) | written.get(job_id, _NO_OUTPUT)
        for job_id, submission in zip(ids, named, strict=True)
    ]
    connection.execute(_INSERT, rows)
    pairs = [
        {"of": job_id, "called": name, "worth": value}
        for job_id, submission in zip(ids, named, strict=True)
        for name, value in submission.job.labels.items()
    ]
    if pairs:
        connection.execute(_LABEL, pairs)
    dependencies.block(connection, waiting)
    awaited = {other for others in waiting.values() for other in others}
    return [
        status_of(SimpleNamespace(**_NEW | row | {"awaited": row["id"] in awaited}), submission.job)
        for row, submission in zip(rows, named, strict=True)
    ]


def _admitted(
    connection: Connection, submissions: Sequence[Submission], now: float
) -> list[Submission]:
    """The same within the limits of their tenant, which is one's. Raises what ``admit`` does."""
    asked = [submission.job for submission in submissions]
    fitted = tenants.admit(connection, submissions[0].tenant, asked, now)
    return [
        submission if job is submission.job else _changed(submission, job)
        for submission, job in zip(submissions, fitted, strict=True)
    ]


def _changed(submission: Submission, job: Job) -> Submission:
    asked = scheduling.needs(job)
    line = scheduling.line(submission.rank, submission.submitter or "", asked)
    return replace(submission, job=job, needs=asked, line=line)


def _by_id(submission: Submission, batch: Sequence[str]) -> Submission:
    """A submission that names jobs of its own batch by their ids."""
    asked = submission.job.depends_on
    if not asked:
        return submission
    ids = tuple(batch[int(other[1:])] if other.startswith("#") else other for other in asked)
    return replace(submission, job=replace(submission.job, depends_on=ids))


def _waiting(connection: Connection, submissions: Mapping[str, Submission]) -> dict[str, list[str]]:
    """Which of these jobs, by their ids, wait for which; those are held. Raises InvalidField."""
    asked = (other for one in submissions.values() for other in one.job.depends_on)
    found = dependencies.hold(connection, set(asked) - submissions.keys())
    waiting = {}
    for job_id, submission in submissions.items():
        for index, other in enumerate(submission.job.depends_on):
            if other not in submissions:
                _check(submission, index, found.get(other))
        left = [
            other
            for other in submission.job.depends_on
            if other in submissions or found[other].state is not State.COMPLETED
        ]
        if left:
            waiting[job_id] = left
    return waiting


def _check(submission: Submission, index: int, found: dependencies.Found | None) -> None:
    """Raises InvalidField for a job that cannot be depended on."""
    other = submission.job.depends_on[index]
    if found is None or found.tenant != submission.tenant:
        what = f"there is no job {other}"
    elif found.state in (State.FAILED, State.CANCELED):
        what = f"job {other} is {found.state.value}"
    else:
        return
    batch = "" if submission.place is None else f"jobs[{submission.place}]."
    field, allowed = f"{batch}depends_on[{index}]", str(DEPENDENCY["description"])
    raise InvalidField.of(field, other, allowed, f"{field}: {what}; allowed is {allowed}")


def _new_id() -> str:
    # 60 random bits, in RFC 4648's base32 alphabet.
    return base64.b32encode(secrets.token_bytes(8)).decode().lower()[:12]


def _earlier(connection: Connection, submissions: Sequence[Submission]) -> list[str]:
    """The ids of the jobs that came with these keys before, in their order.

    Looked up at one moment: whoever else is just sending the same batch is seen whole or not at
    all. Raises Conflict if another body came with a key.
    """
    digests = {
        key: submission.body_digest
        for submission in submissions
        if (key := _idempotency_key(submission)) is not None
    }
    if not digests:
        return []
    rows = connection.execute(_BY_KEYS, {"keys": padded([*digests])}).all()
    for row in rows:
        if row.body_digest != digests[row.idempotency_key]:
            raise Conflict(
                f"Idempotency-Key: job {row.id} came with this key and another body; "
                "use a new key for a new job",
                job=row.id,
            )
    return [str(row.id) for row in rows]


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


def _row(submission: Submission, job_id: str, now: float, blocked: bool) -> dict[str, Any]:
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
        "input_folder": needs.input_folder,
        "output_folder": needs.output_folder,
        "line": submission.line or f"{submission.rank}/",
        "deadline": None if job.deadline is None else unix_seconds(job.deadline),
        "blocked": blocked,
        "group_name": job.group,
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
