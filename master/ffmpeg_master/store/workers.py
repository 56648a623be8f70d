"""The fleet: who registered, with what machine, and when each was heard last."""

from __future__ import annotations

import json
from typing import Final

from sqlalchemy import delete, func, insert, select, update

from ffmpeg_jobs.model import Free, Machine, WorkerStatus
from ffmpeg_jobs.problems import NotFound
from ffmpeg_jobs.schema import from_json
from ffmpeg_master.model import Member
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.jobs import dump, timestamp
from ffmpeg_master.store.tables import is_live, jobs, workers

_HELD: Final = select(func.count()).where(jobs.c.worker == workers.c.name, is_live)
#: Every worker with the number of jobs that it holds.
_FLEET: Final = select(workers, _HELD.scalar_subquery().label("held"))


def unknown(name: str) -> NotFound:
    """The refusal of a worker that did not register."""
    return NotFound(f"no worker is named {name}; it registers by PUT /workers/{name}")


def register(store: Store, name: str, machine: Machine) -> None:
    """Enter a worker, or what its machine has become."""
    with store.write() as connection:
        now = store.now()
        values = {"machine": dump(machine), "draining": False, "last_heartbeat_at": now}
        values |= {"free": None, "held_back": None}
        known = connection.execute(update(workers).where(workers.c.name == name).values(values))
        if known.rowcount == 0:
            connection.execute(insert(workers).values(name=name, registered_at=now, **values))


def fleet(store: Store, online_seconds: float) -> list[Member]:
    """All workers; online is who was heard within ``online_seconds``."""
    with store.read() as connection:
        rows = connection.execute(_FLEET).all()
    since = store.now() - online_seconds
    return [
        Member(
            row.name,
            from_json(Machine, json.loads(row.machine)),
            row.last_heartbeat_at >= since,
            row.draining,
            row.held,
        )
        for row in rows
    ]


def show_all(store: Store, online_seconds: float, tenant: str | None = None) -> list[WorkerStatus]:
    """All workers as the API shows them, by name, with the jobs of ``tenant``; None: all jobs."""
    held: dict[str, list[str]] = {}
    with store.read() as connection:
        rows = connection.execute(select(workers).order_by(workers.c.name)).all()
        running = select(jobs.c.worker, jobs.c.id).where(is_live)
        if tenant is not None:
            running = running.where(jobs.c.tenant == tenant)
        for row in connection.execute(running):
            held.setdefault(row.worker, []).append(row.id)
    since = store.now() - online_seconds
    return [
        WorkerStatus(
            row.name,
            row.last_heartbeat_at >= since,
            from_json(Machine, json.loads(row.machine)),
            tuple(sorted(held.get(row.name, ()))),
            timestamp(row.registered_at),
            timestamp(row.last_heartbeat_at),
            None if row.free is None else from_json(Free, json.loads(row.free)),
            row.held_back,
        )
        for row in rows
    ]


def heartbeats(store: Store) -> dict[str, float]:
    """When each worker was heard last, in Unix seconds."""
    with store.read() as connection:
        rows = connection.execute(select(workers.c.name, workers.c.last_heartbeat_at)).all()
    return {row.name: row.last_heartbeat_at for row in rows}


def forget(store: Store, heard_before: float) -> list[str]:
    """Delete workers that were not heard since that Unix time; their names."""
    old = workers.c.last_heartbeat_at < heard_before
    with store.write() as connection:
        names = [row.name for row in connection.execute(select(workers.c.name).where(old))]
        connection.execute(delete(workers).where(old))
    return names
