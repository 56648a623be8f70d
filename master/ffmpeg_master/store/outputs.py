"""No two jobs write to one output, unless one waits for the other or says that it may.

That goes by tenant: a job of another tenant's is as if it were not there, and the worker looks at
the place itself. Of two that are submitted at once, a unique index lets one in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import bindparam, select

from ffmpeg_jobs import places
from ffmpeg_jobs.model import Job, JobStatus
from ffmpeg_jobs.problems import Conflict, InvalidField
from ffmpeg_master.store.engine import Connection
from ffmpeg_master.store.plans import padded, planned_once
from ffmpeg_master.store.tables import dependencies, jobs, writes_output

#: Who writes there, who came first first.
_WRITERS: Final = planned_once(
    select(jobs.c.id, jobs.c.output_hash)
    .where(jobs.c.output_hash.in_(bindparam("hashes", expanding=True)), writes_output)
    .order_by(jobs.c.number)
)
_WAITS_FOR: Final = select(dependencies.c.on_id).where(
    dependencies.c.job_id.in_(bindparam("waiting", expanding=True))
)


@dataclass(frozen=True)
class Writer:
    """A job that is about to be queued."""

    job_id: str
    job: Job
    tenant: str
    place: int | None = None  #: in its batch


def columns(connection: Connection, writers: Sequence[Writer]) -> Mapping[str, Mapping[str, Any]]:
    """The columns of each job that has an output, by id.

    Raises Conflict for one that another job writes to, InvalidField if that is of the same batch.
    """
    hashes = {one.job_id: _hash(one) for one in writers if one.job.output is not None}
    if not hashes:
        return {}
    found: dict[str, list[str]] = {}
    for row in connection.execute(_WRITERS, {"hashes": padded(sorted(set(hashes.values())))}):
        found.setdefault(row.output_hash, []).append(row.id)
    batch = {one.job_id: one for one in writers}
    made = {}
    for job_id, digest in hashes.items():
        others = [other for other in found.get(digest, []) if other != job_id]
        shares = bool(others) or batch[job_id].job.overwrite is True
        if others and not batch[job_id].job.overwrite:
            _check(connection, batch, job_id, others)
        made[job_id] = {"output_hash": digest, "output_share": job_id if shares else ""}
        found.setdefault(digest, []).append(job_id)
    return made


def check_again(connection: Connection, status: JobStatus, tenant: str) -> Mapping[str, Any]:
    """The columns of a job that is to be queued again. Raises Conflict as ``columns`` does."""
    made = columns(connection, [Writer(status.id, status.job, tenant)])
    return made.get(status.id, {})


def _hash(writer: Writer) -> str:
    place = f"{writer.tenant} {places.normal(str(writer.job.output))}"
    return sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _check(
    connection: Connection, batch: Mapping[str, Writer], job_id: str, others: Sequence[str]
) -> None:
    """Raises for the first of ``others`` that the job does not wait for."""
    before = _ancestors(connection, batch, job_id)
    left = next((other for other in others if other not in before), None)
    if left is None:
        return
    writer = batch[job_id]
    field = "output" if writer.place is None else f"jobs[{writer.place}].output"
    remedy = "let it depend on that, name another output, or say overwrite"
    if left in batch:
        allowed = f"an output of its own; jobs[{batch[left].place}] writes there, too: {remedy}"
        raise InvalidField.of(field, writer.job.output, allowed)
    raise Conflict(f"{field}: job {left} writes there, too, and has not ended; {remedy}", job=left)


def _ancestors(connection: Connection, batch: Mapping[str, Writer], job_id: str) -> Set[str]:
    """All that a job waits for, and they wait for in turn."""
    seen: set[str] = set()
    ahead = set(batch[job_id].job.depends_on)
    while ahead:
        seen |= ahead
        ours = {on for one in ahead & batch.keys() for on in batch[one].job.depends_on}
        rows = connection.execute(_WAITS_FOR, {"waiting": padded(sorted(ahead))})
        ahead = (ours | set(rows.scalars())) - seen
    return seen
