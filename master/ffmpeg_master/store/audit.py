"""Who did what to which job, worker or key: written in the transaction that did it."""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import delete, insert, select

from ffmpeg_jobs.model import Action, AuditEntry
from ffmpeg_master.model import Act, AuditFilters
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.jobs import timestamp
from ffmpeg_master.store.plans import planned_once
from ffmpeg_master.store.psycopg import NOT_READ
from ffmpeg_master.store.tables import audit

_NOTE: Final = planned_once(insert(audit).inline())


def note(
    connection: Connection, now: float, act: Act | None, *subjects: str, **detail: object
) -> None:
    """Write down that ``act`` was done to each subject; None: the master did it by itself.

    ``detail``: what was asked; what is None is left out.
    """
    if act is None or not subjects:
        return
    said = {name: value for name, value in detail.items() if value is not None}
    same: dict[str, Any] = {
        "at": now,
        "who": act.who,
        "role": act.role and act.role.value,
        "tenant": act.tenant,
        "address": act.address and act.address[:64],
        "action": act.action.value,
        "kind": act.action.kind,
        "detail": json.dumps(said) if said else None,
    }
    rows = [{"subject": subject, **same} for subject in subjects]
    # Many are one statement, which is sent at once.
    connection.execute(_NOTE, rows, execution_options={} if len(rows) > 1 else NOT_READ)


def page(store: Store, filters: AuditFilters, limit: int) -> tuple[list[AuditEntry], int | None]:
    """Up to ``limit`` entries, newest first, and the cursor of the next page if there is one."""
    query = select(audit).where(*_conditions(filters)).order_by(audit.c.id.desc())
    with store.read() as connection:
        rows = connection.execute(query.limit(limit + 1)).all()
    following = rows[limit - 1].id if len(rows) > limit else None
    return [_entry(row) for row in rows[:limit]], following


def _conditions(filters: AuditFilters) -> list[Any]:
    kind, subject = filters.subject or (None, None)
    same = {"kind": kind, "subject": subject, "who": filters.who, "action": filters.action}
    conditions = [audit.c[name] == value for name, value in same.items() if value is not None]
    if filters.since_seconds is not None:
        conditions.append(audit.c.at >= filters.since_seconds)
    if filters.until_seconds is not None:
        conditions.append(audit.c.at < filters.until_seconds)
    if filters.before is not None:
        conditions.append(audit.c.id < filters.before)
    return conditions


def _entry(row: Any) -> AuditEntry:
    return AuditEntry(
        row.id,
        timestamp(row.at),
        row.who,
        Action(row.action),
        row.kind,
        row.subject,
        row.role,
        row.tenant,
        row.address,
        json.loads(row.detail) if row.detail else {},
    )


def forget(store: Store, before: float, most: int) -> int:
    """Delete up to ``most`` entries from before that Unix time; how many they were."""
    old = select(audit.c.id).where(audit.c.at < before).order_by(audit.c.at).limit(most)
    with store.write() as connection:
        gone = delete(audit).where(audit.c.id.in_(old.with_for_update(skip_locked=True)))
        return int(connection.execute(gone).rowcount)
