"""How many jobs there are by tenant, state and queue: kept, so that nobody counts a million.

Triggers write down each change in its own transaction, as a row of its own, so that no two that
write meet. The sum of the rows is the number; ``fold`` keeps them few.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from sqlalchemy import delete, func, insert, select

from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.tables import tallies

#: Rows that are not worth a transaction: they are added up in less than 0.1 ms.
_FEW: Final = 100
#: Rows that one transaction folds: more than a second of a busy farm makes.
_FOLD_MOST: Final = 10_000

_KINDS: Final = (tallies.c.tenant, tallies.c.state, tallies.c.queue)
_SUMS: Final = select(
    tallies.c.state, tallies.c.queue, func.sum(tallies.c.more).label("jobs")
).group_by(tallies.c.state, tallies.c.queue)
_SIZE: Final = select(
    select(func.count()).select_from(tallies).scalar_subquery().label("rows"),
    select(func.count())
    .select_from(select(*_KINDS).distinct().subquery())
    .scalar_subquery()
    .label("kinds"),
)
#: Who folds at the same time takes others.
_TAKE: Final = (
    select(tallies).order_by(tallies.c.id).limit(_FOLD_MOST).with_for_update(skip_locked=True)
)


def read(connection: Connection, **same: str | None) -> dict[tuple[str, str], int]:
    """How many jobs there are by state and queue, where there are any; of those that are the
    ``same`` in a column, if it is not None."""
    wanted = [tallies.c[name] == value for name, value in same.items() if value is not None]
    rows = connection.execute(_SUMS.where(*wanted))
    return {(row.state, row.queue): int(row.jobs) for row in rows if row.jobs}


def fold(store: Store) -> None:
    """Make one row of all that count the same, if that spares half of them."""
    with store.read() as connection:
        size = connection.execute(_SIZE).one()
    if size.rows < _FEW + 2 * size.kinds:
        return
    with store.write() as connection:
        rows = connection.execute(_TAKE).all()
        sums: Counter[tuple[str, str, str]] = Counter()
        for row in rows:
            sums[row.tenant, row.state, row.queue] += row.more
        connection.execute(delete(tallies).where(tallies.c.id.in_([row.id for row in rows])))
        names = [column.name for column in _KINDS]
        left = [dict(zip(names, kind, strict=True), more=n) for kind, n in sums.items() if n]
        if left:
            connection.execute(insert(tallies), left)
