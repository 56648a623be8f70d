"""Webhooks that are to be sent: written in the transaction of the change that they tell of.

Whoever takes one has it for LEASE_SECONDS; if nothing was heard of it then, it is taken again:
it is sent at least once, each time under the same id.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import bindparam, exists, func, insert, select, update

from ffmpeg_jobs.model import Callback, CallbackState, JobStatus, State
from ffmpeg_jobs.schema import from_json
from ffmpeg_master.model import Webhook
from ffmpeg_master.store.engine import Connection, Store
from ffmpeg_master.store.jobs import dump, timestamp
from ffmpeg_master.store.tables import is_pending, jobs, outbox

#: Longer than a delivery may take.
LEASE_SECONDS: Final = 60.0
#: What is told of a job, by the state that it came to.
TYPES: Final = {
    State.RUNNING: "job.started",
    State.COMPLETED: "job.completed",
    State.FAILED: "job.failed",
    State.CANCELED: "job.canceled",
}

#: Rows that are looked at together.
_LOOKED_AT_MOST: Final = 100

_DUE: Final = (is_pending, outbox.c.due_at <= bindparam("now"))
_ANY_DUE: Final = select(exists().where(*_DUE))
#: Of all but those keys.
_HOLD_DUE: Final = (
    select(outbox, jobs.c.tenant, func.coalesce(jobs.c.submitter, "").label("key"))
    .join(jobs, jobs.c.id == outbox.c.job_id)
    .where(*_DUE, func.coalesce(jobs.c.submitter, "").not_in(bindparam("full", expanding=True)))
    .order_by(outbox.c.due_at)
    .limit(_LOOKED_AT_MOST)
    .with_for_update(skip_locked=True, of=outbox)
)
_TAKE: Final = (
    update(outbox)
    .where(outbox.c.id == bindparam("of"))
    .values(tries=outbox.c.tries + 1, due_at=bindparam("until"))
)
#: By who took it, not by who had it before and comes late.
_SETTLE: Final = update(outbox).where(
    outbox.c.id == bindparam("of"), outbox.c.tries == bindparam("taken"), is_pending
)
_LAST: Final = (
    select(outbox)
    .where(outbox.c.job_id == bindparam("of_job"))
    .order_by(outbox.c.made_at.desc(), outbox.c.id)
    .limit(1)
)


def tell(connection: Connection, now: float, status: JobStatus) -> JobStatus:
    """Have the job's callback_url told where it stands, if it asked for that; the same status."""
    if status.job.callback_url is not None and status.state in TYPES:
        row = {"id": "msg_" + secrets.token_urlsafe(18), "job_id": status.id, "made_at": now}
        row |= {"type": TYPES[status.state], "status": dump(status), "due_at": now, "tries": 0}
        connection.execute(insert(outbox), row | {"state": CallbackState.PENDING.value})
    return status


def take(store: Store, most: int, admits: Callable[[Webhook], bool]) -> list[Webhook]:
    """Up to ``most`` webhooks that are due and that ``admits`` has room for, for LEASE_SECONDS.

    It is asked of the oldest first. A key one of whose webhooks has no room is passed over, so
    that others' are found, however many it has.
    """
    with store.read() as connection:
        if not connection.execute(_ANY_DUE, {"now": store.now()}).scalar():
            return []
    taken: list[Webhook] = []
    full: set[str] = set()
    with store.write() as connection:
        now = store.now()
        while len(taken) < most:
            rows = connection.execute(_HOLD_DUE, {"now": now, "full": _padded(full)}).all()
            if not rows:
                break
            for webhook in map(_webhook, rows):
                if len(taken) < most and webhook.key not in full and admits(webhook):
                    taken.append(webhook)
                    connection.execute(_TAKE, {"of": webhook.id, "until": now + LEASE_SECONDS})
                else:
                    full.add(webhook.key)
    return taken


def _padded(keys: set[str]) -> list[str]:
    """As a list of 1, 2, 4, 8 ...: each length is another statement, which is kept."""
    return sorted(keys) + [_NO_KEY] * ((1 << len(keys).bit_length()) - len(keys))


#: No key has such a name.
_NO_KEY: Final = " "


def _webhook(row: Any) -> Webhook:
    status = from_json(JobStatus, json.loads(row.status))
    return Webhook(row.id, row.type, row.made_at, status, row.tries + 1, row.tenant, row.key)


def delivered(store: Store, webhook: Webhook) -> None:
    """It arrived."""
    _settle(store, webhook, state=CallbackState.DELIVERED.value, last_error=None)


def failed(store: Store, webhook: Webhook, error: str, due_at: float | None) -> None:
    """It did not arrive; ``due_at``: the Unix time to try again, None: never."""
    if due_at is None:
        _settle(store, webhook, state=CallbackState.GIVEN_UP.value, last_error=error)
    else:
        _settle(store, webhook, due_at=due_at, last_error=error)


def _settle(store: Store, webhook: Webhook, **values: Any) -> None:
    with store.write() as connection:
        connection.execute(_SETTLE.values(values), {"of": webhook.id, "taken": webhook.tries})


def last(store: Store, job_id: str) -> Callback | None:
    """What became of the last webhook of a job; None: there was none."""
    with store.read() as connection:
        row = connection.execute(_LAST, {"of_job": job_id}).first()
    if row is None:
        return None
    state = CallbackState(row.state)
    return Callback(row.id, row.type, timestamp(row.made_at), state, row.tries, row.last_error)
