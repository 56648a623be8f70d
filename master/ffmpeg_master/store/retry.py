"""A job that failed, or was canceled, is queued again, because somebody asks for it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, select

from ffmpeg_jobs.model import JobStatus, State
from ffmpeg_jobs.problems import Conflict
from ffmpeg_jobs.schema import unix_seconds
from ffmpeg_master.model import Act
from ffmpeg_master.store import audit, dependencies, moves, outputs, tenants, wishes
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.jobs import get, timestamp
from ffmpeg_master.store.tables import jobs

#: Attempts are numbered up to here, over all of a job's lives (contract: ATTEMPT).
ATTEMPTS_MAX: Final = 1000

_ROW: Final = select(jobs.c.attempt, jobs.c.deadline, jobs.c.tenant, jobs.c.submitter).where(
    jobs.c.id == bindparam("job_id")
)


def retry(store: Store, job_id: str, act: Act | None = None) -> JobStatus:
    """Queue a failed or canceled job again, with all of its tries before it.

    It waits again for what it depends on. Raises NotFound, or Conflict for a job in another
    state, past its deadline, depending on one that cannot complete any more, or with an output
    that another job writes to by now; TenantForbids or TenantFull, as if it were submitted anew.
    """
    with store.read() as connection:
        depends_on = get(connection, job_id).job.depends_on
    with store.write() as connection:
        dependencies.hold(connection, (job_id, *depends_on))
        status = get(connection, job_id)
        row, now = connection.execute(_ROW, {"job_id": job_id}).one(), store.now()
        _check(status, row.attempt, row.deadline, now)
        # It may be given back as often again: what was before counts as its tries.
        new = {"given_back": 0, "max_attempts": row.attempt + status.job.max_attempts}
        waits = dependencies.block_again(connection, status)
        (job,) = tenants.admit(connection, row.tenant, [status.job], now)
        if job != status.job:
            new |= wishes.columns(job, row.submitter or "")
        asked = status.job.not_before
        due_at = now if asked is None else max(now, unix_seconds(asked))
        written = outputs.check_again(connection, status, row.tenant)
        move = {"of_job": job_id, "at": row.attempt, "not_before": due_at, "updated_at": now}
        moves.queue_again(connection, move | new | {"blocked": waits} | written)
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
