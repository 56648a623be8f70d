"""What is asked of a job after it was accepted: other limits, to pause, to go on.

A wish is only written down here. Its worker is told with every heartbeat, and answers with
what is in force (``queue.heartbeat``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import bindparam, select, update

from ffmpeg_jobs.model import FINAL_STATES, Job, JobStatus, State
from ffmpeg_jobs.problems import Conflict
from ffmpeg_master import scheduling
from ffmpeg_master.model import Act
from ffmpeg_master.store import audit, tenants
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.jobs import dump, get
from ffmpeg_master.store.tables import jobs

_SUBMITTER: Final = select(jobs.c.submitter).where(jobs.c.id == bindparam("job_id"))
_CHANGE: Final = update(jobs).where(jobs.c.id == bindparam("job_id"))


def set_limits(
    store: Store, job_id: str, limits: Mapping[str, int], act: Act | None = None
) -> tuple[JobStatus, bool]:
    """Change fields of a job's resource limits; whether that changed anything.

    Raises NotFound, or Conflict for a job that has ended, and for the timeout of one that runs;
    TenantForbids or TenantFull by its tenant's limits.
    """
    with store.write() as connection:
        status = get(connection, job_id)
        job = replace(status.job, resource_limits=replace(status.job.resource_limits, **limits))
        if status.state in FINAL_STATES:
            raise _conflict(status, "only the limits of a live one can change")
        if job == status.job:
            return status, False
        before, after = status.job.resource_limits, job.resource_limits
        if status.state is not State.QUEUED and before.timeout_sec != after.timeout_sec:
            raise _conflict(
                status,
                "timeout_sec can change only while it is queued, because systemd fixes "
                "RuntimeMaxSec when the scope starts",
            )
        tenants.check_change(connection, status, job)
        now = store.now()
        audit.note(connection, now, act, job_id, **limits)
        submitter = connection.execute(_SUBMITTER, {"job_id": job_id}).scalar_one()
        return _change(connection, status, now, **columns(job, submitter or "")), True


def columns(job: Job, submitter: str) -> dict[str, Any]:
    """The job, and the columns that choosing a worker goes by."""
    asked = scheduling.needs(job)
    line = scheduling.line(scheduling.rank(job), submitter, asked)
    needs = {"cpu_percent": asked.cpu_percent, "memory_mb": asked.memory_mb}
    return {"job": dump(job), "line": line, **needs}


def set_paused(
    store: Store, job_id: str, paused: bool, act: Act | None = None
) -> tuple[JobStatus, bool]:
    """Ask that a running job stands still, or goes on; whether that was not asked before.

    Raises NotFound, or Conflict for a job that no worker holds, or that is being canceled.
    """
    with store.write() as connection:
        status = get(connection, job_id)
        if status.state not in (State.RUNNING, State.PAUSED):
            raise _conflict(status, "only one that runs can be paused and resumed")
        if status.cancel_requested:
            raise _conflict(status, "it is being canceled")
        if status.pause_requested is paused:
            return status, False
        now = store.now()
        audit.note(connection, now, act, job_id)
        return _change(connection, status, now, pause_requested=paused), True


def _change(connection: Connection, status: JobStatus, now: float, **values: Any) -> JobStatus:
    # Why an earlier wish was not met says nothing about this one.
    changed = {"job_id": status.id, "updated_at": now, "unmet": None, **values}
    connection.execute(_CHANGE, changed)
    return get(connection, status.id)


def _conflict(status: JobStatus, why: str) -> Conflict:
    state = status.state.value
    return Conflict(f"job {status.id} is {state}; {why}", state=state)
