"""Groups: jobs that came with the same name of a group, each tenant's for itself."""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import func, select

from ffmpeg_jobs.model import FINAL_STATES, Group, JobStatus, State
from ffmpeg_jobs.problems import NotFound
from ffmpeg_master.model import Act
from ffmpeg_master.store import queue
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import is_live, jobs

#: Jobs that one transaction cancels.
_CANCEL_MOST: Final = 100


def show(store: Store, name: str, tenant: str | None) -> Group:
    """The jobs of a group together; ``tenant`` None: everybody's. Raises NotFound."""
    mine = _mine(name, tenant)
    counting = select(jobs.c.state, func.count().label("count")).where(*mine)
    with store.read() as connection:
        rows = connection.execute(counting.group_by(jobs.c.state)).all()
        live = connection.execute(select(jobs.c.progress).where(*mine, is_live)).all()
    if not rows:
        raise NotFound(f"there is no job of a group {name}")
    states = {state.value: 0 for state in State} | {row.state: row.count for row in rows}
    total = sum(states.values())
    ended = sum(states[state.value] for state in FINAL_STATES)
    percent = (100.0 * ended + sum(_percent(row.progress) for row in live)) / total
    # Never 100 while one is left.
    return Group(name, total, states, int(percent * 10) / 10)


def _percent(progress: str | None) -> float:
    return (json.loads(progress).get("percent") or 0.0) if progress else 0.0


def _mine(name: str, tenant: str | None) -> list[Any]:
    mine = [jobs.c.group_name == name]
    return mine if tenant is None else [*mine, jobs.c.tenant == tenant]


def cancel(store: Store, name: str, tenant: str | None, act: Act | None = None) -> list[JobStatus]:
    """Cancel some of a group's jobs that are not yet; none: there are no more.

    The newest first, so that who waits for others is canceled before these are.
    """
    left = (jobs.c.state.in_(_UNENDED), ~jobs.c.cancel_requested)
    query = select(jobs.c.id).where(*_mine(name, tenant), *left).order_by(jobs.c.number.desc())
    with store.read() as connection:
        ids = [row.id for row in connection.execute(query.limit(_CANCEL_MOST))]
    return queue.cancel_all(store, ids, act)


_UNENDED: Final = [state.value for state in State if state not in FINAL_STATES]
