"""The fleet: who registered, with what machine, and when each was heard last."""

from __future__ import annotations

import json

from sqlalchemy import delete, func, insert, select, update

from ffmpeg_jobs.model import Machine, WorkerStatus
from ffmpeg_jobs.problems import NotFound
from ffmpeg_jobs.schema import from_json
from ffmpeg_master.model import Member
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.fence import LIVE
from ffmpeg_master.store.jobs import dump, timestamp
from ffmpeg_master.store.tables import jobs, workers


def register(store: Store, name: str, machine: Machine) -> None:
    """Enter a worker, or what its machine has become."""
    with store.write() as connection:
        now = store.now()
        values = {"machine": dump(machine), "draining": False, "last_heartbeat_at": now}
        known = connection.execute(update(workers).where(workers.c.name == name).values(values))
        if known.rowcount == 0:
            connection.execute(insert(workers).values(name=name, registered_at=now, **values))


def fleet(store: Store, online_seconds: float) -> list[Member]:
    """All workers; online is who was heard within ``online_seconds``."""
    held = (
        select(func.count())
        .where(jobs.c.worker == workers.c.name, jobs.c.state.in_(LIVE))
        .scalar_subquery()
    )
    with store.read() as connection:
        rows = connection.execute(select(workers, held.label("held"))).all()
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


def require(store: Store, name: str) -> None:
    """Raise NotFound unless a worker of this name registered."""
    with store.read() as connection:
        if connection.execute(select(workers.c.name).where(workers.c.name == name)).first() is None:
            raise NotFound(f"no worker is named {name}; it registers by PUT /workers/{name}")


def show_all(store: Store, online_seconds: float) -> list[WorkerStatus]:
    """All workers as the API shows them, by name."""
    held: dict[str, list[str]] = {}
    with store.read() as connection:
        rows = connection.execute(select(workers).order_by(workers.c.name)).all()
        running = select(jobs.c.worker, jobs.c.id).where(jobs.c.state.in_(LIVE))
        for row in connection.execute(running.order_by(jobs.c.number)):
            held.setdefault(row.worker, []).append(row.id)
    since = store.now() - online_seconds
    return [
        WorkerStatus(
            row.name,
            row.last_heartbeat_at >= since,
            from_json(Machine, json.loads(row.machine)),
            tuple(held.get(row.name, ())),
            timestamp(row.registered_at),
            timestamp(row.last_heartbeat_at),
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
