"""Tries to gain more than a job scope from the launcher or from systemd; runs in the machine.

Prints one line for each try: its name, and "refused" with the D-Bus error's name, or "DONE".
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import BusType, MessageType
from dbus_next.message import Message
from dbus_next.signature import Variant

JOB = "aaaaaaaaaaaa"
LIMITS = {"cpu_percent": 100, "memory_mb": 64, "timeout_seconds": 60, "tasks": 10}
LAUNCHER = ("org.ffmpeg_worker.Launcher1", "/org/ffmpeg_worker/Launcher1")
SYSTEMD = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1")


async def send(
    bus: MessageBus,
    where: tuple[str, str],
    interface: str,
    member: str,
    signature: str,
    body: list[Any],
    fds: Sequence[int] = (),
) -> Message:
    message = Message(
        destination=where[0],
        path=where[1],
        interface=interface,
        member=member,
        signature=signature,
        body=body,
        unix_fds=list(fds),
    )
    answer = await asyncio.wait_for(bus.call(message), 20)
    assert answer is not None
    return answer


async def launch(
    bus: MessageBus, pidfd: int, job: str = JOB, limits: Mapping[str, int] = LIMITS
) -> Message:
    return await send(bus, LAUNCHER, LAUNCHER[0], "StartJob", "hsa{st}", [0, job, limits], [pidfd])


async def transient(
    bus: MessageBus, name: str, properties: list[Any], aux: Sequence[Any] = ()
) -> Message:
    body = [name, "fail", properties, list(aux)]
    return await send(
        bus, SYSTEMD, f"{SYSTEMD[0]}.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))", body
    )


async def manager(bus: MessageBus, member: str, signature: str, body: list[Any]) -> Message:
    return await send(bus, SYSTEMD, f"{SYSTEMD[0]}.Manager", member, signature, body)


def exec_start(*argv: str) -> list[Any]:
    return ["ExecStart", Variant("a(sasb)", [[argv[0], list(argv), False]])]


async def main() -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
    own = subprocess.Popen(["sleep", "60"])
    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    mine, zombie, foreign = (os.pidfd_open(pid) for pid in (own.pid, ended.pid, int(sys.argv[1])))
    file = os.open("/etc/passwd", os.O_RDONLY)
    pids = ["PIDs", Variant("au", [own.pid])]
    evil = ["Type", Variant("s", "oneshot")], exec_start("/usr/bin/touch", "/root/pwned")
    scope = f"ffmpeg-job-{JOB}.scope"
    tries = {
        "launcher-foreign-pid": launch(bus, foreign),
        "launcher-zombie": launch(bus, zombie),
        "launcher-not-a-pidfd": launch(bus, file),
        "launcher-own-pid-outside-the-worker": launch(bus, mine),
        "launcher-other-name": launch(bus, mine, job="../../evil"),
        "launcher-service-name": launch(bus, mine, job="evil.service"),
        "launcher-unknown-property": launch(bus, mine, limits=LIMITS | {"Slice": 1}),
        "launcher-missing-limit": launch(bus, mine, limits={"cpu_percent": 1}),
        "launcher-zero-limit": launch(bus, mine, limits=LIMITS | {"memory_mb": 0}),
        "launcher-over-the-cap": launch(bus, mine, limits=LIMITS | {"timeout_seconds": 1 << 40}),
        "launcher-stop-another-unit": send(
            bus, LAUNCHER, LAUNCHER[0], "StopJob", "s", ["dbus.service"]
        ),
        "launcher-unknown-method": send(bus, LAUNCHER, LAUNCHER[0], "Run", "s", ["id"]),
        "systemd-transient-service": transient(bus, "evil.service", list(evil)),
        "systemd-transient-scope": transient(bus, scope, [pids]),
        "systemd-aux-unit": transient(
            bus,
            scope,
            [pids, ["Wants", Variant("as", ["evil.service"])]],
            [["evil.service", list(evil)]],
        ),
        "systemd-on-success": transient(
            bus, scope, [pids, ["OnSuccess", Variant("as", ["reboot.target"])]]
        ),
        "systemd-conflicts": transient(
            bus, scope, [pids, ["Conflicts", Variant("as", ["dbus.service"])]]
        ),
        "systemd-set-property": manager(
            bus, "SetUnitProperties", "sba(sv)", ["ffmpeg.slice", True, []]
        ),
        "systemd-stop-unit": manager(bus, "StopUnit", "ss", ["ffmpeg-master.service", "replace"]),
        "systemd-start-unit": manager(bus, "StartUnit", "ss", ["debug-shell.service", "replace"]),
        "systemd-reload": manager(bus, "Reload", "", []),
    }
    for name, attempt in tries.items():
        answer = await attempt
        error = answer.message_type is MessageType.ERROR
        print(name, "refused" if error else "DONE", answer.error_name or "", flush=True)
    own.kill()


asyncio.run(main())
