"""What changed of jobs, in the order of its time: for those who watch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import bindparam, select, tuple_

from ffmpeg_master.model import Change
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.jobs import BY_ID, status_of, unknown
from ffmpeg_master.store.tables import jobs

#: Changes read at once.
PAGE: Final = 500

_SINCE: Final = (
    select(jobs)
    .where(
        tuple_(jobs.c.updated_at, jobs.c.number)
        > tuple_(bindparam("after"), bindparam("after_number"))
    )
    .order_by(jobs.c.updated_at, jobs.c.number)
    .limit(PAGE)
)


#: Of one tenant. Not by the index of tenants: then all of its jobs would be sorted first.
_SINCE_OF: Final = _SINCE.where(jobs.c.tenant.concat("") == bindparam("of"))

_TIMES: Final = select(jobs.c.number, jobs.c.updated_at).where(
    jobs.c.updated_at > bindparam("after"), jobs.c.updated_at <= bindparam("until")
)
_OF: Final = select(jobs).where(jobs.c.number.in_(bindparam("numbers", expanding=True)))


def since(store: Store, after: float, number: int = 0, tenant: str | None = None) -> list[Change]:
    """Up to PAGE jobs that changed after that Unix time, as they stand now, oldest change first;
    of those that changed just then, the jobs after ``number``. ``tenant``: whose; None: all.

    A change is only seen when its transaction ends: who goes on from the newest has to look
    back by TRANSACTION_SECONDS (engine.py).
    """
    values: dict[str, Any] = {"after": after, "after_number": number}
    query, more = (_SINCE, {}) if tenant is None else (_SINCE_OF, {"of": tenant})
    with store.read() as connection:
        return [_change(row) for row in connection.execute(query, values | more)]


def times(store: Store, after: float, until: float) -> dict[int, float]:
    """When jobs changed last, by their numbers: after one Unix time, and not after another."""
    with store.read() as connection:
        rows = connection.execute(_TIMES, {"after": after, "until": until})
        return {row.number: row.updated_at for row in rows}


def of(store: Store, numbers: Sequence[int]) -> list[Change]:
    """The last change of each of these jobs, oldest first."""
    with store.read() as connection:
        found = [
            _change(row)
            for start in range(0, len(numbers), PAGE)
            for row in connection.execute(_OF, {"numbers": numbers[start : start + PAGE]})
        ]
    return sorted(found, key=lambda change: (change.at, change.number))


def last(store: Store, job_id: str) -> Change:
    """A job's last change. Raises NotFound."""
    with store.read() as connection:
        row = connection.execute(BY_ID, {"job_id": job_id}).first()
    if row is None:
        raise unknown(job_id)
    return _change(row)


def _change(row: Any) -> Change:
    return Change(row.updated_at, row.number, row.tenant, status_of(row))
