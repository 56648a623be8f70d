"""A connection to a bus that strangers cannot wear out. D-Bus specification; dbus-next.

Whoever is on a bus may send to anybody there: signals of 32 MiB, which take the library seconds to
read, and with each message 16 file descriptors, which it leaves open. dbus-daemon(1) can refuse
what strangers send, and our policy does; where it is not in force, this is.
"""

from __future__ import annotations

import asyncio
import os
from struct import unpack_from
from typing import Any, Final

import structlog
from dbus_next._private.unmarshaller import Unmarshaller
from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import BusType, MessageType
from dbus_next.message import Message

#: Calls to us and signals of systemd have less than 4 KiB.
MOST_BYTES: Final = 64 << 10
#: Of each message; lengths are in it, but for that of its first field, which it ends with.
_START_BYTES: Final = 16
_REPLIES: Final = (MessageType.METHOD_RETURN.value, MessageType.ERROR.value)
_LITTLE_ENDIAN: Final = ord("l")

log = structlog.get_logger()


class _Unmarshaller(Unmarshaller):
    """Throws a call or a signal away that is too large, piece by piece as it comes.

    As the library's, it is asked again whenever there is more to read, and raises where that ends.
    """

    _left: int | None = None  #: bytes still to come of what is thrown away

    def _unmarshall(self) -> None:
        self.offset = 0
        self.read(_START_BYTES, prefetch=True)
        if self._left is None:
            order = "<" if self.buf[0] == _LITTLE_ENDIAN else ">"
            body, _serial, header = unpack_from(f"{order}III", self.buf, 4)
            rest = header + self._padding(header, 8) + body
            if rest <= MOST_BYTES or self.buf[1] in _REPLIES:
                super()._unmarshall()
                return
            self._left = rest
        while self._left:
            try:
                self.read(_START_BYTES + min(self._left, MOST_BYTES), prefetch=True)
            finally:
                self._left -= len(self.buf) - _START_BYTES
                del self.buf[_START_BYTES:]
        self.message = Message(
            message_type=MessageType.SIGNAL,
            path="/",
            interface="org.ffmpeg_worker.TooLarge",
            member="TooLarge",
            unix_fds=self.unix_fds,
        )


class Bus(MessageBus):
    """The library's connection, with an eye on what comes and on what is left behind."""

    ended: asyncio.Future[None]  #: done when the bus is gone, also if by an error

    def _create_unmarshaller(self) -> Unmarshaller:
        return _Unmarshaller(self._stream, self._sock if self._negotiate_unix_fd else None)

    def send(self, msg: Message) -> asyncio.Future[None]:  # type: ignore[override]  # it does
        """See the library. Where nobody waits for it, an error is the connection's end."""
        sent: asyncio.Future[None] = super().send(msg)
        sent.add_done_callback(_error_of)
        return sent

    def close(self) -> None:
        """End the connection."""
        self.disconnect()


async def connected(bus_type: BusType, address: str | None = None) -> Bus:
    """Connect to the bus, at ``address`` where it is not the usual one; its end is logged.

    Raises OSError, EOFError or AuthError.
    """
    bus = Bus(address, bus_type, negotiate_unix_fd=True)  # type: ignore[arg-type]  # None is usual
    await bus.connect()
    bus.ended = asyncio.ensure_future(bus.wait_for_disconnect())
    bus.ended.add_done_callback(_tell_end)
    return bus


def close_descriptors(message: Message) -> None:
    """Close what came with a message that nobody wants."""
    for descriptor in message.unix_fds:
        os.close(descriptor)
    message.unix_fds = []


def _error_of(future: asyncio.Future[Any]) -> BaseException | None:
    """Its error, which is thereby heard: else asyncio would log it with a traceback."""
    return None if future.cancelled() else future.exception()


def _tell_end(ended: asyncio.Future[None]) -> None:
    error = _error_of(ended)
    if error is not None:
        log.warning("bus_gone", reason=str(error) or "the other side closed the connection")
