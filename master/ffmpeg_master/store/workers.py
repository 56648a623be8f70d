"""The fleet: who registered, with what machine, and when each was heard last."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import and_, bindparam, delete, func, insert, select, update

from ffmpeg_jobs.model import Free, Machine, WorkerStatus
from ffmpeg_jobs.problems import Conflict, NotFound
from ffmpeg_jobs.schema import from_json
from ffmpeg_master.model import ANY_ROOM, UNASKED_CPU_PERCENT, Act, Key, Member, Needs, Room
from ffmpeg_master.store import audit, names
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.jobs import NEEDS, dump, needs, timestamp
from ffmpeg_master.store.plans import planned_once
from ffmpeg_master.store.tables import is_live, jobs, keys, workers

#: Machines that are kept as nouns: a farm's, of which each claim looks at one, or at all.
_MACHINES_MOST: Final = 8192
#: A worker, until the transaction ends for no claim to change.
_HOLD_BY_NAME: Final = planned_once(
    select(workers).where(workers.c.name == bindparam("by")).with_for_update()
)
_ONLINE: Final = select(func.count()).where(workers.c.last_heartbeat_at >= bindparam("since"))
#: What a worker's jobs were promised, and what all were.
_RUNNING: Final = select(jobs.c.worker, *NEEDS).where(is_live)
_RUNNING_ON: Final = planned_once(_RUNNING.where(jobs.c.worker == bindparam("by")))
#: Beside its key, if it has one.
_WITH_KEY: Final = workers.outerjoin(keys, keys.c.name == workers.c.key)
_FLEET: Final = select(workers, keys.c.serves).select_from(_WITH_KEY)
#: A worker beside each of its jobs, or beside nothing.
_WITH_RUNNING: Final = planned_once(
    select(workers, keys.c.serves, jobs.c.id.label("runs"), jobs.c.attempt, *NEEDS)
    .select_from(_WITH_KEY.outerjoin(jobs, and_(jobs.c.worker == workers.c.name, is_live)))
    .where(workers.c.name == bindparam("by"))
)
_PERCENT: Final = func.coalesce(jobs.c.cpu_percent, UNASKED_CPU_PERCENT)
#: CPU that each submitter's jobs hold.
_HELD: Final = (
    select(jobs.c.submitter, func.sum(_PERCENT).label("percent"))
    .where(is_live)
    .group_by(jobs.c.submitter)
)


def unknown(name: str) -> NotFound:
    """The refusal of a worker that did not register."""
    return NotFound(f"no worker is named {name}; it registers by PUT /workers/{name}")


def register(store: Store, name: str, machine: Machine, key: Key | None = None) -> None:
    """Enter a worker, or what its machine has become; its name is the key's. Raises Forbidden."""
    with store.write() as connection:
        now = store.now()
        values = {"machine": dump(machine), "draining": False, "last_heartbeat_at": now}
        values |= {"free": None, "held_back": None, "word_serial": None}
        known = connection.execute(update(workers).where(workers.c.name == name).values(values))
        if known.rowcount == 0:
            connection.execute(insert(workers).values(name=name, registered_at=now, **values))
        if key is not None:
            names.check(store, key, name)  # here, where nobody else can register it meanwhile


def fleet(store: Store, online_seconds: float) -> list[Member]:
    """All workers; online is who was heard within ``online_seconds``."""
    running: dict[str, list[Needs]] = {}
    with store.read() as connection:
        for row in connection.execute(_RUNNING):
            running.setdefault(row.worker, []).append(needs(row))
        rows = connection.execute(_FLEET).all()
    since = store.now() - online_seconds
    return [_member(row, since, running.get(row.name, ())) for row in rows]


def online(store: Store, online_seconds: float) -> int:
    """How many workers were heard within ``online_seconds``."""
    with store.read() as connection:
        since = store.now() - online_seconds
        return int(connection.execute(_ONLINE, {"since": since}).scalar_one())


def member(store: Store, name: str, online_seconds: float, room: Room = ANY_ROOM) -> Member:
    """One worker, which says with a claim what ``room`` it has. Raises NotFound."""
    with store.read() as connection:
        rows = connection.execute(_WITH_RUNNING, {"by": name}).all()
    if not rows:
        raise unknown(name)
    held = [row for row in rows if row.runs is not None]
    running = [needs(row) for row in held if (row.runs, row.attempt) not in room.leaving]
    row = rows[0]
    found = _member(row, store.now() - online_seconds, running)
    if room.serial is not None and row.word_serial is not None and row.word_serial < room.serial:
        # It asks for jobs now, whatever it said before.
        found = replace(found, draining=row.drain, held_back=row.cordoned)
    return replace(found, places=room.places)


@lru_cache(_MACHINES_MOST)
def _machine(text: str) -> Machine:
    return from_json(Machine, json.loads(text))


def _member(row: Any, online_since: float, running: Iterable[Needs]) -> Member:
    return Member(
        row.name,
        _machine(row.machine),
        row.last_heartbeat_at >= online_since,
        row.draining or row.drain,
        tuple(running),
        row.cordoned or row.held_back is not None,
        serves=row.serves,
    )


def held(store: Store) -> dict[str, int]:
    """The CPU percent that the jobs of each submitter hold."""
    with store.read() as connection:
        return {row.submitter or "": int(row.percent) for row in connection.execute(_HELD)}


def set_cordoned(store: Store, name: str, cordoned: bool, act: Act | None = None) -> None:
    """Have a worker get no new jobs, or get them again. Raises NotFound."""
    _change(store, name, act, {"cordoned": cordoned})


def drain(store: Store, name: str, timeout_seconds: float | None, act: Act | None = None) -> None:
    """Have a worker take no new jobs; after ``timeout_seconds`` (None: never) it gives back
    what still runs. Raises NotFound."""
    until = None if timeout_seconds is None else store.now() + timeout_seconds
    values = {"drain": True, "drain_until": until}
    _change(store, name, act, values, timeout_seconds=timeout_seconds)


def undrain(store: Store, name: str, act: Act | None = None) -> None:
    """Have it take jobs again, as far as the master is asked. Raises NotFound."""
    _change(store, name, act, {"drain": False, "drain_until": None})


def _change(
    store: Store, name: str, act: Act | None, values: dict[str, Any], **detail: Any
) -> None:
    with store.write() as connection:
        store.hold(connection, name)  # no claim goes by what was before
        change = update(workers).where(workers.c.name == name).values(values)
        if connection.execute(change).rowcount == 0:
            raise unknown(name)
        audit.note(connection, store.now(), act, name, **detail)


def remove(store: Store, name: str, online_seconds: float, act: Act | None = None) -> None:
    """Forget a worker. Raises NotFound, or Conflict while it is online or holds jobs."""
    with store.write() as connection:
        store.hold(connection, name)  # no claim of its own is on its way
        row = connection.execute(_HOLD_BY_NAME, {"by": name}).first()
        if row is None:
            raise unknown(name)
        if row.last_heartbeat_at >= store.now() - online_seconds:
            raise Conflict(f"worker {name} is online; stop it first, or drain it", state="online")
        held = len(connection.execute(_RUNNING_ON, {"by": name}).all())
        if held:
            words = f"worker {name} holds {held} of its jobs; they are free when their leases end"
            raise Conflict(words, state="offline")
        connection.execute(delete(workers).where(workers.c.name == name))
        audit.note(connection, store.now(), act, name)


def show_all(store: Store, online_seconds: float, tenant: str | None = None) -> list[WorkerStatus]:
    """All workers as the API shows them, by name, with the jobs of ``tenant``; None: all jobs."""
    held: dict[str, list[str]] = {}
    with store.read() as connection:
        rows = connection.execute(select(workers).order_by(workers.c.name)).all()
        ids = select(jobs.c.worker, jobs.c.id).where(is_live)
        if tenant is not None:
            ids = ids.where(jobs.c.tenant == tenant)
        for row in connection.execute(ids):
            held.setdefault(row.worker, []).append(row.id)
    since = store.now() - online_seconds
    return [
        WorkerStatus(
            row.name,
            row.last_heartbeat_at >= since,
            _machine(row.machine),
            tuple(sorted(held.get(row.name, ()))),
            timestamp(row.registered_at),
            timestamp(row.last_heartbeat_at),
            None if row.free is None else from_json(Free, json.loads(row.free)),
            row.held_back,
            row.cordoned,
            row.draining or row.drain,
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
