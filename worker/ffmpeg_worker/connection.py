"""A connection to a bus that is made at its first use, and again after the bus went away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dbus_next.errors import AuthError

from ffmpeg_worker.calls import Unanswered
from ffmpeg_worker.scopes import Scopes


class Connection:
    """The scopes of one manager, whenever they are asked for."""

    def __init__(self, connect: Callable[[], Awaitable[Scopes]], bus: str) -> None:
        """``bus``: its name for people, as in "no connection to the system bus"."""
        self._connect = connect
        self._bus = bus
        self._scopes: Scopes | None = None

    async def scopes(self) -> Scopes:
        """Raises ScopeError; Unanswered where there is no bus."""
        if self._scopes is None or not self._scopes.bus.connected:
            try:
                self._scopes = await self._connect()
            except (OSError, EOFError, AuthError) as error:
                raise Unanswered(f"no connection to {self._bus}: {error}") from None
        return self._scopes
