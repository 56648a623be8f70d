"""Whose a worker's name is: the key's that first spoke for it, as long as that key is valid.

What runs on a worker is told of by its name, so nobody else may speak for it.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import bindparam, select, update

from ffmpeg_jobs.model import Role
from ffmpeg_jobs.problems import Forbidden
from ffmpeg_master.model import Key
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import attempts, jobs, keys, workers

_OWNER: Final = (
    select(workers.c.key, keys.c.name.label("known"), keys.c.revoked_at, keys.c.expires_at)
    .join_from(workers, keys, keys.c.name == workers.c.key, isouter=True)
    .where(workers.c.name == bindparam("by"))
)
#: The same, until the transaction ends for nobody else to take.
_HOLD_OWNER: Final = _OWNER.with_for_update(of=workers)
_TAKE: Final = update(workers).where(workers.c.name == bindparam("by"))
_OF_ATTEMPT: Final = (
    select(attempts.c.worker, jobs.c.tenant)
    .join(jobs, jobs.c.id == attempts.c.job_id)
    .where(attempts.c.job_id == bindparam("of_job"), attempts.c.number == bindparam("at"))
)


def check(store: Store, key: Key, name: str) -> None:
    """Let ``key`` speak for the worker ``name``, which is the key's then. Raises Forbidden."""
    if key.role is Role.ADMIN:
        return
    bound = key.grant.worker
    if bound not in (None, name):
        raise Forbidden(f"the key {key.name} is the worker {bound}'s; it cannot act as {name}")
    with store.read() as connection:
        row = connection.execute(_OWNER, {"by": name}).first()
    if row is not None and row.key != key.name:
        _take(store, key, name)


def check_attempt(store: Store, key: Key, job_id: str, number: int) -> None:
    """Likewise for the worker of an attempt; of one that is not there, its token will tell."""
    with store.read() as connection:
        found = connection.execute(_OF_ATTEMPT, {"of_job": job_id, "at": number}).first()
    if found is None:
        return
    check(store, key, found.worker)
    if key.grant.serves not in (None, found.tenant):
        raise Forbidden(
            f"the key {key.name} serves the tenant {key.grant.serves} alone; "
            f"job {job_id} is not of it"
        )


def _take(store: Store, key: Key, name: str) -> None:
    with store.write() as connection:
        row = connection.execute(_HOLD_OWNER, {"by": name}).first()
        if row is None or row.key == key.name:
            return
        if not (_is_free(row, store.now()) or _may_follow(key, row.key, name)):
            raise Forbidden(
                f"the worker's name {name} is the key {row.key}'s, not the key {key.name}'s; "
                f"revoke that one, or make a key with --worker {name} or --replaces {row.key}"
            )
        connection.execute(_TAKE, {"by": name} | {"key": key.name})


def _is_free(row: Any, now: float) -> bool:
    ended = row.expires_at is not None and row.expires_at <= now
    return row.known is None or row.revoked_at is not None or ended


def _may_follow(key: Key, owner: str, name: str) -> bool:
    """Whether whoever made the key gave it the name, though its owner is valid: a rotation."""
    return key.grant.worker == name or key.grant.replaces == owner
