"""A job that failed, or was canceled, is queued again, because somebody asks for it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, select, update

from ffmpeg_jobs.model import JobStatus, State
from ffmpeg_jobs.problems import Conflict
from ffmpeg_master.model import Act
from ffmpeg_master.store import audit, dependencies
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.jobs import get, timestamp
from ffmpeg_master.store.tables import jobs

#: Attempts are numbered up to here, over all of a job's lives (contract: ATTEMPT).
ATTEMPTS_MAX: Final = 1000

_ROW: Final = select(jobs.c.attempt, jobs.c.given_back, jobs.c.deadline).where(
    jobs.c.id == bindparam("job_id")
)
#: As it was when it was submitted, but for its attempts, which go on counting up.
_QUEUE: Final = (
    update(jobs)
    .where(jobs.c.id == bindparam("of_job"))
    .values(
        state=State.QUEUED.value,
        not_before=bindparam("now"),
        updated_at=bindparam("now"),
        finished_at=None,
        worker=None,
        outcome=None,
        progress=None,
        usage=None,
        cancel_requested=False,
        max_attempts=bindparam("most"),
        blocked=bindparam("waits"),
    )
)


def retry(store: Store, job_id: str, act: Act | None = None) -> JobStatus:
    """Queue a failed or canceled job again, with all of its tries before it.

    It waits again for what it depends on. Raises NotFound, or Conflict for a job in another
    state, past its deadline, or depending on one that cannot complete any more.
    """
    with store.read() as connection:
        depends_on = get(connection, job_id).job.depends_on
    with store.write() as connection:
        dependencies.hold(connection, (job_id, *depends_on))
        status = get(connection, job_id)
        row, now = connection.execute(_ROW, {"job_id": job_id}).one(), store.now()
        _check(status, row.attempt, row.deadline, now)
        most = row.attempt - row.given_back + status.job.max_attempts
        waits = dependencies.block_again(connection, status)
        connection.execute(_QUEUE, {"of_job": job_id, "now": now, "most": most, "waits": waits})
        audit.note(connection, now, act, job_id)
        return get(connection, job_id)


def _check(status: JobStatus, attempt: int, deadline: float | None, now: float) -> None:
    state = status.state.value
    if status.state not in (State.FAILED, State.CANCELED):
        why = "only one that failed or was canceled can be tried again"
    elif deadline is not None and deadline <= now:
        why = f"it was to start before {timestamp(deadline)}; submit it anew"
    elif attempt + status.job.max_attempts > ATTEMPTS_MAX:
        why = f"it has had {attempt} attempts; submit it anew"
    else:
        return
    raise Conflict(f"job {status.id} is {state}; {why}", state=state)
