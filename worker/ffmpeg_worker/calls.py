"""A call to somebody on a bus, and the ways in which it fails. Low-level messages, no proxies."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import MessageType
from dbus_next.message import Message

BUS: Final = "org.freedesktop.DBus"
SYSTEMD: Final = "org.freedesktop.systemd1"
MANAGER_PATH: Final = "/org/freedesktop/systemd1"
MANAGER: Final = "org.freedesktop.systemd1.Manager"
UNIT: Final = "org.freedesktop.systemd1.Unit"
SCOPE: Final = "org.freedesktop.systemd1.Scope"
PROPERTIES: Final = "org.freedesktop.DBus.Properties"
NO_SUCH_UNIT: Final = "org.freedesktop.systemd1.NoSuchUnit"
UNIT_EXISTS: Final = "org.freedesktop.systemd1.UnitExists"
#: systemd answers within milliseconds; a machine in deep trouble gets this long. It is more
#: than the 25 s that dbus-daemon gives a service to start.
CALL_TIMEOUT_SECONDS: Final = 40.0
#: Errors that a bus makes itself for whom it cannot reach (D-Bus specification, dbus-daemon(1)),
#: and those of a machine that has no more of something (errno(3), as sd-bus names it).
_UNREACHED: Final = re.compile(
    r"org\.freedesktop\.DBus\.Error\."
    r"(NoReply|Disconnected|ServiceUnknown|NameHasNoOwner|TimedOut|Timeout|NoServer|Spawn\..*"
    r"|LimitsExceeded|NoMemory)"
    r"|System\.Error\.E(MFILE|NFILE|NOMEM|NOBUFS|NOSPC|AGAIN)"
)


class ScopeError(Exception):
    """systemd would not do it; the message says what and why."""


class Unanswered(ScopeError):
    """The bus or the other side went away, or was silent: nobody knows whether it was done."""


class NotAllowed(ScopeError):
    """The job's own limits are refused here."""


class StartFailed(ScopeError):
    """systemd tried to start a unit and could not."""


class CallRefused(ScopeError):
    """A D-Bus error was the answer; ``name`` is the error's own."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


async def call(bus: MessageBus, message: Message) -> list[Any]:
    """Send and await the answer's body. Raises CallRefused or Unanswered."""
    if not bus.connected:
        raise Unanswered(f"the bus went away before {message.member}")
    try:
        reply = await asyncio.wait_for(bus.call(message), CALL_TIMEOUT_SECONDS)
    except TimeoutError:
        raise Unanswered(f"{message.destination} did not answer {message.member}") from None
    except (OSError, EOFError):
        raise Unanswered(f"the bus went away during {message.member}") from None
    if reply is None:
        raise Unanswered(f"{message.destination} gave no answer to {message.member}")
    if reply.message_type is MessageType.ERROR:
        name, text = str(reply.error_name), str(reply.body[0] if reply.body else reply.error_name)
        raise Unanswered(text) if _UNREACHED.fullmatch(name) else CallRefused(name, text)
    return list(reply.body)


async def ask_bus(bus: MessageBus, member: str, text: str) -> list[Any]:
    """Call a method of the bus itself that takes one text. Raises as ``call`` does."""
    message = Message(
        destination=BUS,
        path="/org/freedesktop/DBus",
        interface=BUS,
        member=member,
        signature="s",
        body=[text],
    )
    return await call(bus, message)
