"""Sends what nobody should have to bear, by D-Bus; runs in the machine.

wear_out.py descriptors NAME | large NAME | forged NAME UNIT
NAME is a connection's. What the bus refuses is counted and printed.
"""

import asyncio
import os
import sys
from typing import Any

from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import BusType, MessageFlag, MessageType
from dbus_next.message import Message
from dbus_next.signature import Variant

LAUNCHER = "org.ffmpeg_worker.Launcher1"
MANAGER = "org.freedesktop.systemd1.Manager"
#: The most that a message may bring (max_message_unix_fds in dbus-daemon(1)).
DESCRIPTORS = 16
#: Under max_message_size of 32 MiB.
LARGE_BYTES = 30 << 20


def to(name: str, interface: str, member: str, signature: str = "", *body: Any, **more: Any) -> Any:
    """A call; or, with a type, something else."""
    return Message(
        destination=name,
        path=more.pop("path", "/org/ffmpeg_worker/Launcher1"),
        interface=interface,
        member=member,
        signature=signature,
        body=list(body),
        **more,
    )


async def descriptors(bus: MessageBus, name: str) -> int:
    """Every method, a hundred times, with as many descriptors as a message may bring."""
    given = [os.open("/dev/null", os.O_RDONLY) for _ in range(DESCRIPTORS)]
    limits = {"cpu_percent": 100}
    calls: list[Any] = [
        ("org.freedesktop.DBus.Introspectable", "Introspect", ""),
        ("org.freedesktop.DBus.Peer", "Ping", ""),
        (LAUNCHER, "StopJob", "s", "aaaaaaaaaaaa"),
        (LAUNCHER, "SetLimits", "sa{st}", "aaaaaaaaaaaa", limits),
        (LAUNCHER, "StartJob", "hsa{st}", 0, "aaaaaaaaaaaa", limits),
        (LAUNCHER, "Nonsense", ""),
    ]
    refused = 0
    for call in calls * 100:
        answer = await bus.call(to(name, *call, unix_fds=given))
        refused += answer is not None and answer.message_type is MessageType.ERROR
    return refused


async def large(bus: MessageBus, name: str) -> int:
    """A signal and a call, of numbers that take seconds to read one by one."""
    numbers = bytes(LARGE_BYTES)
    kinds = (MessageType.SIGNAL, MessageType.METHOD_CALL)
    for kind in kinds:
        message = to(name, LAUNCHER, "StopJob", "ay", numbers, message_type=kind)
        message.flags, message.serial = MessageFlag.NO_REPLY_EXPECTED, bus.next_serial()
        raw = message._marshall(negotiate_unix_fd=False)
        # The same bytes under another signature.
        assert raw.count(b"\x02ay\0") == 1
        await send_raw(bus, message, raw.replace(b"\x02ay\0", b"\x02ai\0"))
    return 0


async def send_raw(bus: MessageBus, message: Message, raw: bytes) -> None:
    setattr(message, "_marshall", lambda negotiate_unix_fd=False: bytearray(raw))  # noqa: B010
    await bus.send(message)


async def forged(bus: MessageBus, name: str, unit: str) -> int:
    """Tell that jobs failed to start and that units ended, for seconds, as systemd would."""
    label = "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in unit)
    path = f"/org/freedesktop/systemd1/unit/{label}"
    ended = {"ActiveState": Variant("s", "failed"), "Result": Variant("s", "oom-kill")}
    last = int(os.environ.get("LAST_JOB", "400"))
    signals: list[tuple[str, str, str, str, list[Any]]] = [
        (
            path,
            "org.freedesktop.DBus.Properties",
            "PropertiesChanged",
            "sa{sv}as",
            ["org.freedesktop.systemd1.Unit", ended, []],
        ),
        ("/org/freedesktop/systemd1", MANAGER, "UnitRemoved", "so", [unit, path]),
        (
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "NameOwnerChanged",
            "sss",
            ["org.freedesktop.systemd1", "", bus.unique_name],
        ),
    ]
    signals += [
        (
            "/org/freedesktop/systemd1",
            MANAGER,
            "JobRemoved",
            "uoss",
            [number, f"/org/freedesktop/systemd1/job/{number}", unit, "failed"],
        )
        for number in range(1, last)
    ]
    for path, interface, member, signature, body in signals:
        signal = to(
            name, interface, member, signature, *body, path=path, message_type=MessageType.SIGNAL
        )
        await bus.send(signal)
    return len(signals)


async def main() -> None:
    """Do it, and print the count."""
    bus = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
    attacks: dict[str, Any] = {"descriptors": descriptors, "large": large, "forged": forged}
    print(await attacks[sys.argv[1]](bus, *sys.argv[2:]))
    # The bus has taken all before this: it answers in order.
    await bus.call(to("org.freedesktop.DBus", "org.freedesktop.DBus", "GetId", path="/"))


asyncio.run(main())
