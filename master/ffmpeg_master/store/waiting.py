"""The jobs that can be handed out now, by the lines that they wait in.

A line is fetched as far as it is looked at, and looked at as often as its jobs are chosen from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import merge
from itertools import takewhile
from typing import Any, Final

from sqlalchemy import bindparam, exists, func, literal_column, or_, select, tuple_

from ffmpeg_jobs.model import Queue, TenantLimits
from ffmpeg_master.model import Left, Waiting
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.jobs import NEEDS, needs
from ffmpeg_master.store.plans import planned_once
from ffmpeg_master.store.tables import is_ready, jobs, ready, tenants, workers

#: Rows fetched of a line while looking for a job that fits: mostly one of the first does.
_WAITING_FIRST: Final = 8
_WAITING_MOST: Final = 512


def _in_time(table: Any, now: str) -> Any:
    """That a job may still start; who may not is in nobody's way until it is ended."""
    return or_(table.c.deadline.is_(None), table.c.deadline > bindparam(now))


_NEXT: Final = select(jobs.c.line).where(is_ready).order_by(jobs.c.line).limit(1)
# Each is at or after the empty one: a planner that sees a range looks for an index of it.
_LEAST: Final = _NEXT.where(jobs.c.line >= literal_column("''")).scalar_subquery()
#: The lines that jobs wait in, each found by one step in an index (a loose index scan).
_FIRST_LINE: Final = select(_LEAST.label("line")).cte("lines", recursive=True)
_NEXT_LINE: Final = _NEXT.where(jobs.c.line > _FIRST_LINE.c.line).scalar_subquery()
_LINES_CTE: Final = _FIRST_LINE.union_all(select(_NEXT_LINE).where(_FIRST_LINE.c.line.is_not(None)))
#: How many of each became due in some time.
_came: Final = jobs.alias("came")
_CAME: Final = (
    select(func.count())
    .where(ready(_came), _came.c.line == _LINES_CTE.c.line)
    .where(_came.c.not_before > bindparam("after"), _came.c.not_before <= bindparam("until"))
    .where(_in_time(_came, "until"))
    .scalar_subquery()
)
_DUE: Final = select(func.coalesce(func.sum(_CAME), 0)).select_from(_LINES_CTE)
_COLUMNS: Final = (
    *(jobs.c.line, jobs.c.id, *NEEDS, jobs.c.avoid_worker, jobs.c.queue, jobs.c.rank),
    *(jobs.c.number, jobs.c.submitter, jobs.c.not_before, jobs.c.tenant),
)
#: Of each line, the ready job whose time has come that waits longest.
_first: Final = jobs.alias("first")
_FIRST: Final = (
    select(_first.c.number)
    .where(ready(_first), _first.c.line == _LINES_CTE.c.line)
    .where(_first.c.not_before <= bindparam("now"), _in_time(_first, "now"))
    .order_by(_first.c.not_before, _first.c.number)
    .limit(1)
    .scalar_subquery()
)
_HEADS: Final = planned_once(
    select(*_COLUMNS, tenants.c.max_running, tenants.c.max_cpu_percent)
    .select_from(jobs.outerjoin(tenants, tenants.c.name == jobs.c.tenant))
    .where(jobs.c.number.in_(select(_FIRST).select_from(_LINES_CTE)))
)
#: The others of a line, in their order.
_AFTER: Final = tuple_(jobs.c.not_before, jobs.c.number) > tuple_(
    bindparam("after_time"), bindparam("after_number")
)
_REST: Final = (
    select(*_COLUMNS)
    .where(is_ready, jobs.c.line == bindparam("of"), jobs.c.not_before <= bindparam("now"), _AFTER)
    .where(_in_time(jobs, "now"))
    .order_by(jobs.c.not_before, jobs.c.number)
)
_FEW: Final = planned_once(_REST.limit(_WAITING_FIRST))
_MANY: Final = planned_once(_REST.limit(_WAITING_MOST))

#: Whether a job is ready, if not due yet, and whether there is this worker.
_ANY: Final = planned_once(
    select(
        exists(select(jobs.c.number).where(is_ready)).label("ready"),
        exists(select(workers.c.name).where(workers.c.name == bindparam("by"))).label("known"),
    )
)


def none_for(store: Store, worker: str) -> bool:
    """Whether ``worker``, which is known, need not look for a job: none is ready."""
    with store.read() as connection:
        found = connection.execute(_ANY, {"by": worker}).one()
    return bool(found.known) and not found.ready


class Lines:
    """All lines, as one transaction sees them; it must not be used after its end."""

    def __init__(self, store: Store) -> None:
        """Of each line only who stands first is read."""
        self._store = store
        self.now = store.now()  #: Unix time
        with store.read() as connection:
            heads = connection.execute(_HEADS, {"now": self.now}).all()
        self._seen = {row.line: [_waiting(row)] for row in heads}
        self._rest = {row.line: self._fetch(row.line, row) for row in heads}
        #: Of the tenants whose jobs may have to wait for their others.
        self.limits = {
            row.tenant: TenantLimits(
                max_running=row.max_running, max_cpu_percent=row.max_cpu_percent
            )
            for row in heads
            if row.max_running is not None or row.max_cpu_percent is not None
        }

    @property
    def heads(self) -> list[Waiting]:
        """Who stands first in each."""
        return [line[0] for line in self._seen.values()]

    @property
    def left(self) -> Left:
        """Whether any job waits whose time has come."""
        return Left.SOME if self._seen else Left.NOTHING

    @property
    def submitters(self) -> set[str]:
        """Whose jobs wait."""
        return {line[0].submitter for line in self._seen.values()}

    def by(
        self, urgency: Callable[[Waiting], Any], goes: Callable[[Waiting], bool] | None = None
    ) -> Iterator[Waiting]:
        """The jobs by ``urgency``; that of each line only grows.

        Who does not go (``goes``) has those of its line wait too: they are of one tenant, and ask
        about the same, so that none is looked at for nothing, however many they are.
        """
        lines = map(self._line, self._seen)
        return iter(
            merge(*(takewhile(goes, line) if goes else line for line in lines), key=urgency)
        )

    def _line(self, name: str) -> Iterator[Waiting]:
        seen = self._seen[name]
        yield from seen
        for job in self._rest[name]:
            seen.append(job)
            yield job

    def _fetch(self, name: str, last: Any) -> Iterator[Waiting]:
        values: dict[str, Any] = {"of": name, "now": self.now}
        for page, most in ((_FEW, _WAITING_FIRST), (_MANY, _WAITING_MOST)):
            values |= {"after_time": last.not_before, "after_number": last.number}
            with self._store.read() as connection:
                rows = connection.execute(page, values).all()
            yield from map(_waiting, rows)
            # What is alike is looked through so far; the rest of the line waits behind.
            if len(rows) < most:
                return
            last = rows[-1]


def due(store: Store, after: float, until: float) -> int:
    """How many waiting jobs became due in that span of Unix time."""
    with store.read() as connection:
        return int(connection.execute(_DUE, {"after": after, "until": until}).scalar_one())


def _waiting(row: Any) -> Waiting:
    return Waiting(
        row.id,
        needs(row),
        row.avoid_worker,
        row.queue == Queue.LIVE.value,
        row.rank,
        row.not_before,
        row.submitter or "",
        row.number,
        row.tenant,
    )
