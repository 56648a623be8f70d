"""Pages of jobs, and how many there are, as far as filters let them through.

A page is read where an index has its jobs in their order, so that it costs the same however many
others there are. Which index that is, is decided here: the planner of neither database knows how
few of a state are of a queue. It is led by what the list is ordered by before the number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import func, select, tuple_, union_all

from ffmpeg_jobs.model import JobStatus, Queue, State
from ffmpeg_master.model import Filters
from ffmpeg_master.store import tallies
from ffmpeg_master.store.engine import TRANSACTION_SECONDS, Connection, Store
from ffmpeg_master.store.jobs import status_of
from ffmpeg_master.store.tables import jobs, labels

#: No job's number is over it.
_NUMBER_MAX: Final = (1 << 63) - 1

#: Columns and what is wanted in them.
_Wanted = Mapping[Any, Any]


def page(store: Store, filters: Filters, limit: int) -> tuple[list[JobStatus], int | None]:
    """Up to ``limit`` jobs, newest first, and the cursor of the next page if there is one."""
    with store.read() as connection:
        numbers = _newest(store, filters, limit + 1)
        query = select(jobs).where(jobs.c.number.in_(numbers[:limit]))
        rows = connection.execute(query).all()
    following = numbers[limit - 1] if len(numbers) > limit else None
    rows.sort(key=lambda row: row.number, reverse=True)
    return [status_of(row) for row in rows], following


def count(store: Store, filters: Filters) -> dict[str, dict[str, int]]:
    """How many jobs there are by queue and state."""
    kept = Filters(state=filters.state, queue=filters.queue, tenant=filters.tenant)
    with store.read() as connection:
        if filters == kept:
            found = tallies.read(connection, **_kept(kept))
        else:
            found = _count(connection, filters)
    return {
        queue.value: {state.value: found.get((state.value, queue.value), 0) for state in State}
        for queue in Queue
    }


def _count(connection: Connection, filters: Filters) -> dict[tuple[str, str], int]:
    kinds = (jobs.c.state, jobs.c.queue)
    same = (column == value for column, value in _wanted(filters).items())
    lows, highs = _ends(filters)
    ends = [jobs.c.number > low for low in lows] + [jobs.c.number < high for high in highs]
    query = select(*kinds, func.count().label("jobs")).where(*same, *ends, *_rest(filters))
    rows = connection.execute(query.group_by(*kinds))
    return {(row.state, row.queue): row.jobs for row in rows}


def _newest(store: Store, filters: Filters, most: int) -> list[int]:
    """The numbers of up to so many jobs, the newest first."""
    with store.read() as connection:
        leads = _leads(connection, filters)
        lists = [_list(store, lead, filters).limit(most).subquery() for lead in leads]
        if not lists:
            return []
        found = connection.execute(union_all(*(select(one.c.number) for one in lists))).scalars()
        return sorted(found, reverse=True)[:most]


def _leads(connection: Connection, filters: Filters) -> list[_Wanted]:
    """What the jobs have in common by which an index finds them, in its order.

    By tenant, state and queue they stand in a list for each kind of job that there is.
    """
    wanted = _wanted(filters)
    for columns in ((labels.c.name, labels.c.value), (jobs.c.worker,), (jobs.c.group_name,)):
        if columns[0] in wanted:
            return [{column: wanted[column] for column in columns}]
    kept = _kept(filters)
    if not any(kept.values()):
        return [{}]
    tenant = {} if filters.tenant is None else {jobs.c.tenant: filters.tenant}
    return [
        {**tenant, jobs.c.state: state, jobs.c.queue: queue}
        for state, queue in tallies.read(connection, **kept)
    ]


def _list(store: Store, lead: _Wanted, filters: Filters) -> Any:
    """The numbers of jobs, newest first, as the index has them that ``lead`` leads to."""
    number = jobs.c.number if filters.label is None else labels.c.job_number
    columns, (lows, highs) = (*lead, number), _ends(filters)
    if store.compares_rows:
        # Nothing here is the same in all rows, as far as the planner knows, so that it must order
        # by all columns. No other index has that order.
        place = tuple_(*columns)
        where = [place > tuple_(*lead.values(), low) for low in lows]
        where += [place < tuple_(*lead.values(), high) for high in highs]
    else:
        where = [column == value for column, value in lead.items()]
        where += [number > low for low in lows] + [number < high for high in highs]
    where += [column.is_not(None) for column in lead if column.nullable]  # as the index says
    # The others are looked at row by row, and must not lead to another index.
    others = {column: value for column, value in _wanted(filters).items() if column not in lead}
    where += [func.coalesce(column, "") == value for column, value in others.items()]
    query = select(number.label("number")).where(*where, *_rest(filters))
    return query.order_by(*(column.desc() for column in columns))


def _kept(filters: Filters) -> dict[str, str | None]:
    """The filters by what tallies are kept of."""
    return {"tenant": filters.tenant, "state": filters.state, "queue": filters.queue}


def _wanted(filters: Filters) -> _Wanted:
    name, value = filters.label or (None, None)
    columns = {
        **{jobs.c[column]: wanted for column, wanted in _kept(filters).items()},
        jobs.c.worker: filters.worker,
        jobs.c.group_name: filters.group,
        labels.c.name: name,
        labels.c.value: value,
    }
    return {column: wanted for column, wanted in columns.items() if wanted is not None}


def _ends(filters: Filters) -> tuple[list[Any], list[Any]]:
    """Below and above the numbers of all jobs that are wanted.

    They go up with the time of submission, but for what came together: each has the time at
    which its transaction began. One step in an index finds where a list begins.
    """
    when = jobs.c.created_at
    lows: list[Any] = [0]
    highs: list[Any] = [_NUMBER_MAX if filters.before is None else filters.before]
    if filters.since is not None:
        before = (
            select(jobs.c.number)
            .where(when < filters.since - TRANSACTION_SECONDS)
            .order_by(when.desc())
        )
        lows.append(func.coalesce(before.limit(1).scalar_subquery(), 0))
    if filters.until is not None:
        after = (
            select(jobs.c.number).where(when >= filters.until + TRANSACTION_SECONDS).order_by(when)
        )
        highs.append(func.coalesce(after.limit(1).scalar_subquery(), _NUMBER_MAX))
    return lows, highs


def _rest(filters: Filters) -> Iterator[Any]:
    if filters.label is not None:
        yield labels.c.job_number == jobs.c.number
    if filters.since is not None:
        yield jobs.c.created_at >= filters.since
    if filters.until is not None:
        yield jobs.c.created_at < filters.until
