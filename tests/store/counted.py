"""Whether the numbers of jobs that are kept are those that there are."""

from __future__ import annotations

from sqlalchemy import func, select

from ffmpeg_master.store import tallies
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import jobs

TENANTS = ("default", "guests")


def check(store: Store) -> None:
    """Kept and counted at one moment."""
    for tenant in (None, *TENANTS):
        with store.read() as connection:
            kinds = (jobs.c.state, jobs.c.queue)
            counting = select(*kinds, func.count()).group_by(*kinds)
            if tenant is not None:
                counting = counting.where(jobs.c.tenant == tenant)
            there = {(row[0], row[1]): row[2] for row in connection.execute(counting)}
            assert tallies.read(connection, tenant=tenant) == there
