"""The jobs that can be handed out now, by the lines that they wait in.

A line is fetched as far as it is looked at, and looked at as often as its jobs are chosen from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import merge
from typing import Any, Final

from sqlalchemy import bindparam, func, select, tuple_

from ffmpeg_jobs.model import Queue
from ffmpeg_master.model import Waiting
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.jobs import NEEDS, needs
from ffmpeg_master.store.tables import is_ready, jobs

#: Rows fetched of a line while looking for a job that fits: mostly one of the first does.
_WAITING_FIRST: Final = 8
_WAITING_MOST: Final = 512

#: The lines that jobs wait in, each found by one step in an index (a loose index scan).
_FIRST_LINE: Final = (
    select(func.min(jobs.c.line).label("line")).where(is_ready).cte("lines", recursive=True)
)
_NEXT_LINE: Final = (
    select(func.min(jobs.c.line))
    .where(is_ready, jobs.c.line > _FIRST_LINE.c.line)
    .scalar_subquery()
)
_LINES_CTE: Final = _FIRST_LINE.union_all(select(_NEXT_LINE).where(_FIRST_LINE.c.line.is_not(None)))
_LINES: Final = select(_LINES_CTE.c.line).where(_LINES_CTE.c.line.is_not(None))
#: The ready jobs of a line whose time has come, longest first.
_DUE: Final = (
    select(jobs.c.id, *NEEDS, jobs.c.avoid_worker, jobs.c.queue, jobs.c.rank, jobs.c.number)
    .add_columns(jobs.c.submitter, jobs.c.not_before)
    .where(is_ready, jobs.c.line == bindparam("of"), jobs.c.not_before <= bindparam("now"))
    .order_by(jobs.c.not_before, jobs.c.number)
)
_DUE_FIRST: Final = _DUE.limit(_WAITING_FIRST)
_DUE_MORE: Final = _DUE.where(
    tuple_(jobs.c.not_before, jobs.c.number)
    > tuple_(bindparam("after_time"), bindparam("after_number"))
).limit(_WAITING_MOST)


class Lines:
    """All lines, as one transaction sees them; it must not be used after its end."""

    def __init__(self, store: Store) -> None:
        """Nothing of a line is read before it is looked at."""
        self._store = store
        self.now = store.now()  #: Unix time
        with store.read() as connection:
            names = [str(row.line) for row in connection.execute(_LINES)]
        self._seen: dict[str, list[Waiting]] = {name: [] for name in names}
        self._rest = {name: self._fetch(name) for name in names}

    @property
    def submitters(self) -> set[str]:
        """Whose jobs wait."""
        return {name.split("/")[1] for name in self._seen}

    def by(self, urgency: Callable[[Waiting], Any]) -> Iterator[Waiting]:
        """The jobs by ``urgency``; that of each line only grows."""
        return iter(merge(*map(self._line, self._seen), key=urgency))

    def _line(self, name: str) -> Iterator[Waiting]:
        seen, rest = self._seen[name], self._rest[name]
        yield from seen
        for job in rest:
            seen.append(job)
            yield job

    def _fetch(self, name: str) -> Iterator[Waiting]:
        batch, page = _WAITING_FIRST, _DUE_FIRST
        values: dict[str, Any] = {"of": name, "now": self.now}
        while True:
            with self._store.read() as connection:
                rows = connection.execute(page, values).all()
            yield from map(_waiting, rows)
            # What is alike is looked through so far; the rest of the line waits behind.
            if len(rows) < batch or batch == _WAITING_MOST:
                return
            batch, page = _WAITING_MOST, _DUE_MORE
            values |= {"after_time": rows[-1].not_before, "after_number": rows[-1].number}


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
    )
