"""Who is asking, and may they? Keys come as ``Authorization: Bearer`` (RFC 6750)."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from hashlib import sha256
from typing import Final

from ffmpeg_jobs.model import Role
from ffmpeg_jobs.problems import Forbidden, TooManyRequests, Unauthorized, Unavailable
from ffmpeg_master.guard import Guard
from ffmpeg_master.model import Key
from ffmpeg_master.store import keys
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.jobs import timestamp
from ffmpeg_master.store.troubles import Collision

#: A revoked key is refused after at most this long.
_CACHE_SECONDS: Final = 2.0

#: How exactly the last use of a key is known.
_USE_SECONDS: Final = 60.0

#: Which keys' roles do for a route's role.
ALLOWED: Final = {
    Role.MONITOR: frozenset({Role.MONITOR, Role.READ, Role.SUBMIT, Role.ADMIN}),
    Role.READ: frozenset({Role.READ, Role.SUBMIT, Role.ADMIN}),
    Role.SUBMIT: frozenset({Role.SUBMIT, Role.ADMIN}),
    Role.WORKER: frozenset({Role.WORKER, Role.ADMIN}),
    Role.ADMIN: frozenset({Role.ADMIN}),
}


def new_secret() -> str:
    """A key as its owner keeps it: 256 random bits, marked as ours for secret scanners."""
    return "ffw_" + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What the store keeps of a key. Being random, it needs no slow hash (cf. RFC 9110, 17.16)."""
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


class Gate:
    """Knows keys by their digest, and remembers each for two seconds.

    The secret itself is never compared: its digest is looked up, and how long that takes
    tells nothing about a secret that is not known already.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._guard = Guard()
        #: With the monotonic seconds until which a key is taken for valid.
        self._cache: dict[str, tuple[Key, float]] = {}
        #: The digests of all keys, and until when that is taken for so.
        self._marks: tuple[frozenset[str], float] = (frozenset(), 0.0)

    def admit(self, authorization: str | None, role: Role, address: str) -> Key:
        """The key that asks from ``address``, if its role does for ``role``.

        Raises Unauthorized, TooManyRequests or Forbidden.
        """
        mark = digest(_bearer(authorization))
        wait_seconds = self._guard.wait_seconds(address)
        # Who shares the address, and has a key, is not in this.
        if wait_seconds and not self._exists(mark):
            raise TooManyRequests(
                f"too many unknown keys came from {address}; try again in {wait_seconds} s",
                retry_after_seconds=wait_seconds,
            )
        try:
            key = self._known(mark)
        except Unauthorized:
            self._guard.failed(address)
            raise
        if key.role not in ALLOWED[role]:
            raise Forbidden(
                f"the key {key.name} has the role {key.role.value}; "
                f"this needs {' or '.join(sorted(r.value for r in ALLOWED[role]))}"
            )
        return key

    def admits_still(self, authorization: str | None) -> bool:
        """Whether a key that was admitted is valid yet; also while the database does not answer."""
        try:
            self._known(digest(_bearer(authorization)))
        except Unauthorized:
            return False
        except Unavailable:
            return True
        return True

    def _exists(self, mark: str) -> bool:
        """Whether there is such a key, for who asks very often: they are looked up all at once."""
        if self._marks[1] <= time.monotonic():
            self._marks = (keys.digests(self._store), time.monotonic() + _CACHE_SECONDS)
        return mark in self._marks[0]

    def _known(self, mark: str) -> Key:
        cached = self._cache.get(mark)
        if cached is not None and cached[1] > time.monotonic():
            return cached[0]
        self._cache.pop(mark, None)
        key, now = keys.find(self._store, mark), self._store.now()
        if key is None:
            raise Unauthorized("the API key is not known, or was revoked")
        expires_at = key.grant.expires_at_seconds
        if expires_at is not None and expires_at <= now:
            raise Unauthorized(
                f"the API key {key.name} expired at {timestamp(expires_at)}; "
                "a new one comes from ffmpeg-master keys create"
            )
        if now - (key.last_used_at_seconds or 0) >= _USE_SECONDS:
            with suppress(Collision, Unavailable):  # another process just noted it; later, then
                keys.note_use(self._store, key.name, now)
        self._cache[mark] = (key, time.monotonic() + _CACHE_SECONDS)
        return key


def _bearer(authorization: str | None) -> str:
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Unauthorized("no API key: send it as the header Authorization: Bearer KEY")
    return secret.strip()
