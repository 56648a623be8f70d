"""Whether the machine is going down, as systemd says it (org.freedesktop.systemd1(5))."""

from __future__ import annotations

from dbus_next.constants import BusType
from dbus_next.errors import AuthError
from dbus_next.message import Message

from ffmpeg_worker.bus import connected
from ffmpeg_worker.calls import MANAGER, MANAGER_PATH, PROPERTIES, SYSTEMD, ScopeError, call


async def machine_stops() -> bool:
    """Whether systemd's state is "stopping": a shutdown or reboot was begun. Without a systemd
    that answers: False."""
    try:
        bus = await connected(BusType.SYSTEM)
    except (OSError, EOFError, AuthError):
        return False
    message = Message(
        destination=SYSTEMD,
        path=MANAGER_PATH,
        interface=PROPERTIES,
        member="Get",
        signature="ss",
        body=[MANAGER, "SystemState"],
    )
    try:
        return bool((await call(bus, message))[0].value == "stopping")
    except ScopeError:
        return False
    finally:
        bus.close()
