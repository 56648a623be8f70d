"""A connection to a bus that is made at its first use, and again after the bus went away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from dbus_next.errors import AuthError

from ffmpeg_worker.scopes import Scopes, Unanswered

log = structlog.get_logger()


class Connection:
    """The scopes of one manager, whenever they are asked for."""

    def __init__(self, connect: Callable[[], Awaitable[Scopes]], bus: str) -> None:
        """``bus``: its name for people, as in "no connection to the system bus"."""
        self._connect = connect
        self._bus = bus
        self._scopes: Scopes | None = None
        self._end: asyncio.Future[None] | None = None

    async def scopes(self) -> Scopes:
        """Raises ScopeError; Unanswered where there is no bus."""
        if self._scopes is None or not self._scopes.bus.connected:
            try:
                self._scopes = await self._connect()
            except (OSError, EOFError, AuthError) as error:
                raise Unanswered(f"no connection to {self._bus}: {error}") from None
            self._end = asyncio.ensure_future(self._scopes.until_disconnected())
            self._end.add_done_callback(self._ended)
        return self._scopes

    def _ended(self, end: asyncio.Future[None]) -> None:
        """Hear how it ended: of what nobody hears, asyncio logs a traceback."""
        if not end.cancelled():
            error = end.exception()
            log.warning("bus_gone", bus=self._bus, reason=str(error) or type(error).__name__)
