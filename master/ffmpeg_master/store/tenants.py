"""Tenants: their limits, and what they have.

Whoever decides by a limit holds the tenant's row until the transaction ends: submits, retries and
claims of one tenant come one after the other there. Jobs are locked before tenants, and several
tenants by their names, so that no two wait for each other. Who has no limits has no row, and
nobody waits.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import bindparam, delete, func, insert, select, union, update

from ffmpeg_jobs.model import Job, JobStatus, Queue, State, TenantLimits, TenantStatus
from ffmpeg_jobs.problems import NotFound
from ffmpeg_master import tenancy
from ffmpeg_master.model import UNASKED_CPU_PERCENT, Act, Needs
from ffmpeg_master.store import audit, tallies
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.plans import padded, planned_once
from ffmpeg_master.store.tables import is_live, jobs, keys, tenants
from ffmpeg_master.store.tables import tallies as tallies_table
from ffmpeg_master.tenancy import Held

_ONE: Final = select(tenants).where(tenants.c.name == bindparam("of"))
_HOLD: Final = planned_once(_ONE.with_for_update())
_HOLD_SOME: Final = planned_once(
    select(tenants)
    .where(tenants.c.name.in_(bindparam("names", expanding=True)))
    .order_by(tenants.c.name)
    .with_for_update()
)
_PAY: Final = update(tenants).where(tenants.c.name == bindparam("of"))
_PERCENT: Final = func.coalesce(jobs.c.cpu_percent, UNASKED_CPU_PERCENT)
_HELD: Final = (
    select(jobs.c.tenant, func.count().label("jobs"), func.sum(_PERCENT).label("percent"))
    .where(is_live)
    .group_by(jobs.c.tenant)
)
#: The tenant is no column to an index: workers hold few jobs, a tenant may have many.
_HELD_BY: Final = planned_once(
    _HELD.where(jobs.c.tenant.concat("").in_(bindparam("names", expanding=True)))
)
#: Whoever has a limit, a key or a job.
_KNOWN: Final = union(select(tenants.c.name), select(keys.c.tenant), select(tallies_table.c.tenant))
_QUEUED: Final = (
    select(tallies_table.c.tenant, func.sum(tallies_table.c.more).label("jobs"))
    .where(tallies_table.c.state == State.QUEUED.value)
    .group_by(tallies_table.c.tenant)
)


def admit(connection: Connection, name: str, asked: Sequence[Job], now: float) -> list[Job]:
    """The jobs that are about to be queued, within the limits of their tenant, which is held.

    Raises TenantForbids or TenantFull.
    """
    row = connection.execute(_HOLD, {"of": name}).first()
    if row is None:
        return list(asked)
    limits = limits_of(row)
    places = range(len(asked)) if len(asked) > 1 else (None,)
    fitted = [
        tenancy.fitted(name, limits, job, place) for job, place in zip(asked, places, strict=True)
    ]
    if limits.max_queued is not None:
        queued = sum(tallies.read(connection, tenant=name, state=State.QUEUED.value).values())
        tenancy.check_queued(name, limits, queued, len(asked))
    if limits.rate is not None:
        until = tenancy.paid(name, limits.rate, row.paid_until, now, len(asked))
        connection.execute(_PAY, {"of": name, "paid_until": until})
    return fitted


def check_change(connection: Connection, status: JobStatus, wanted: Job) -> None:
    """Hold the tenant of a live job that is to become as ``wanted``, and let that be within limits.

    Raises TenantForbids, or TenantFull if it runs and the tenant has no CPU left for it.
    """
    name = str(status.tenant)
    row = connection.execute(_HOLD, {"of": name}).first()
    if row is None:
        return
    limits, asked = limits_of(row), wanted.resource_limits
    tenancy.within(name, limits, asked, "")
    if status.state is not State.QUEUED and limits.max_cpu_percent is not None:
        before = status.job.resource_limits.max_cpu_percent
        others = held(connection, [name])[name].without(before)
        tenancy.check_grows(name, limits.max_cpu_percent, others, before, asked.max_cpu_percent)


def hold(connection: Connection, names: Iterable[str]) -> Mapping[str, TenantLimits]:
    """The limits of those of the tenants that have any; nobody else decides by them now."""
    rows = connection.execute(_HOLD_SOME, {"names": padded(sorted(names))}).all()
    return {row.name: limits_of(row) for row in rows}


def held(connection: Connection, names: Iterable[str]) -> dict[str, Held]:
    """What workers hold of each of the tenants, of which there is at least one."""
    wanted = sorted(names)
    rows = connection.execute(_HELD_BY, {"names": padded(wanted)}).all()
    found = {row.tenant: Held(row.jobs, int(row.percent)) for row in rows}
    return {name: found.get(name, Held()) for name in wanted}


def limits_of(row: Any) -> TenantLimits:
    """The limits that a row with their columns tells."""
    queues = None if row.queues is None else tuple(map(Queue, json.loads(row.queues)))
    return TenantLimits(
        row.max_queued, row.max_running, row.max_cpu_percent, row.max_timeout_sec, queues, row.rate
    )


def holding_back(store: Store) -> dict[str, TenantLimits]:
    """The limits of the tenants whose jobs may have to wait although a worker is free."""
    with store.read() as connection:
        found = {row.name: limits_of(row) for row in connection.execute(select(tenants))}
    return {name: limits for name, limits in found.items() if tenancy.holds_running(limits)}


def holds_back(store: Store, name: str, asked: Needs) -> str | None:
    """What a queued job waits for because of its tenant's limits, for people; None: nothing."""
    with store.read() as connection:
        row = connection.execute(_ONE, {"of": name}).first()
        if row is None:
            return None
        mine = held(connection, [name])[name]
    return tenancy.holds_back(name, limits_of(row), mine, asked)


def change(
    store: Store,
    name: str,
    wanted: Callable[[TenantLimits], TenantLimits],
    act: Act | None = None,
) -> TenantLimits:
    """Have a tenant's limits be what is ``wanted`` of those that it had; what they are then."""
    with store.write() as connection:
        row = connection.execute(_HOLD, {"of": name}).first()
        limits = wanted(TenantLimits() if row is None else limits_of(row))
        values = asdict(limits)
        if limits.queues is not None:
            values["queues"] = json.dumps([queue.value for queue in limits.queues])
        if row is None:
            connection.execute(insert(tenants).values(name=name, **values))
        else:
            connection.execute(update(tenants).where(tenants.c.name == name).values(values))
        audit.note(connection, store.now(), act, name, **_told(limits))
    return limits


def _told(limits: TenantLimits) -> dict[str, Any]:
    told = asdict(limits)
    return told if limits.queues is None else told | {"queues": [q.value for q in limits.queues]}


def remove(store: Store, name: str, act: Act | None = None) -> None:
    """Have a tenant have no limits. Raises NotFound if it has none."""
    with store.write() as connection:
        if connection.execute(delete(tenants).where(tenants.c.name == name)).rowcount == 0:
            raise NotFound(f"the tenant {name} has no limits")
        audit.note(connection, store.now(), act, name)


def show_all(store: Store) -> list[TenantStatus]:
    """Every tenant that has limits, a key or a job, by name."""
    with store.read() as connection:
        names = {row[0] for row in connection.execute(_KNOWN)}
        queued = Counter({row.tenant: int(row.jobs) for row in connection.execute(_QUEUED)})
        limits = {row.name: limits_of(row) for row in connection.execute(select(tenants))}
        mine = {row.tenant: Held(row.jobs, int(row.percent)) for row in connection.execute(_HELD)}
    return [
        TenantStatus(
            name,
            queued[name],
            mine.get(name, Held()).jobs,
            mine.get(name, Held()).cpu_percent,
            limits.get(name, TenantLimits()),
        )
        for name in sorted(names)
    ]


def show(store: Store, name: str) -> TenantStatus:
    """One of them. Raises NotFound."""
    for status in show_all(store):
        if status.name == name:
            return status
    raise NotFound(f"there is no tenant {name}: it has no limits, no key and no job")
