"""API keys. Of the secret itself only the SHA-256 is kept: it has 256 random bits."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import insert, select, update

from ffmpeg_jobs.model import Role
from ffmpeg_jobs.problems import Conflict, NotFound
from ffmpeg_master.model import Act, Grant, Key
from ffmpeg_master.store import audit
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import keys

_GRANTED: Final = ("role", "tenant", "worker", "expires_at", "replaces", "serves")


def create(store: Store, name: str, grant: Grant, digest: str, act: Act | None = None) -> None:
    """Enter a key by its digest (SHA-256, hexadecimal). Raises Conflict if the name is taken,
    NotFound if there is no key that it could replace."""
    with store.write() as connection:
        if connection.execute(select(keys.c.name).where(keys.c.name == name)).first():
            raise Conflict(f"a key is named {name} already; give the new one its own name")
        replaced = (keys.c.name == grant.replaces, keys.c.role == Role.WORKER.value)
        if grant.replaces and not connection.execute(select(keys.c.name).where(*replaced)).first():
            raise NotFound(f"no worker's key is named {grant.replaces}")
        values = {
            "name": name,
            "role": grant.role.value,
            "tenant": grant.tenant,
            "worker": grant.worker,
            "expires_at": grant.expires_at_seconds,
            "replaces": grant.replaces,
            "serves": grant.serves,
            "hash": digest,
            "created_at": store.now(),
        }
        connection.execute(insert(keys).values(values))
        granted = {name: values[name] for name in _GRANTED}
        audit.note(connection, store.now(), act, name, **granted)


def find(store: Store, digest: str) -> Key | None:
    """The key with this digest, unless it was revoked; it may have expired."""
    valid = (keys.c.hash == digest, keys.c.revoked_at.is_(None))
    with store.read() as connection:
        row = connection.execute(select(keys).where(*valid)).first()
    return _key(row) if row else None


def digests(store: Store) -> frozenset[str]:
    """Those of all keys that were not revoked."""
    with store.read() as connection:
        valid = select(keys.c.hash).where(keys.c.revoked_at.is_(None))
        return frozenset(connection.execute(valid).scalars())


def note_use(store: Store, name: str, at_seconds: float) -> None:
    """Remember that the key was used at that Unix time."""
    with store.write() as connection:
        mine = update(keys).where(keys.c.name == name)
        connection.execute(mine.values(last_used_at=at_seconds))


def show_all(store: Store) -> list[Key]:
    """All keys, by name."""
    with store.read() as connection:
        return [_key(row) for row in connection.execute(select(keys).order_by(keys.c.name))]


def revoke(store: Store, name: str, act: Act | None = None) -> None:
    """End a key's validity; masters notice within seconds. Raises NotFound."""
    with store.write() as connection:
        mine = update(keys).where(keys.c.name == name, keys.c.revoked_at.is_(None))
        if connection.execute(mine.values(revoked_at=store.now())).rowcount == 0:
            raise NotFound(f"no valid key is named {name}")
        audit.note(connection, store.now(), act, name)


def _key(row: Any) -> Key:
    bounds = (row.tenant, row.worker, row.expires_at, row.replaces, row.serves)
    grant = Grant(Role(row.role), *bounds)
    return Key(row.name, grant, row.created_at, row.revoked_at, row.last_used_at)
