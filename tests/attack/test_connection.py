"""What comes on a real bus from strangers, where no policy keeps it off."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import socket
import subprocess
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dbus_next.constants import BusType, MessageType
from dbus_next.message import Message
from structlog.testing import capture_logs

from ffmpeg_worker import by_system, scopes
from ffmpeg_worker.authority import ASKED_AT_ONCE, Authority, Refusal
from ffmpeg_worker.bus import MOST_BYTES, Bus, connected
from ffmpeg_worker.by_system import LAUNCHER, BySystem
from ffmpeg_worker.calls import MANAGER, MANAGER_PATH, SYSTEMD, NotAllowed, ScopeError, Unanswered
from ffmpeg_worker.scopes import Scopes

# The library leaves its sockets to the garbage collection.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

UNIT = "ffmpeg-job-aaaaaaaaaaaa.scope"
JOB = "/org/freedesktop/systemd1/job/7"


@dataclass(frozen=True)
class PrivateBus:
    """A bus of the test's own, on which anybody may be anybody."""

    address: str
    process: subprocess.Popen[str]

    async def connect(self) -> Bus:
        return await connected(BusType.SYSTEM, self.address)

    async def owner(self, name: str) -> Bus:
        bus = await self.connect()
        await bus.request_name(name)
        return bus


@pytest.fixture
def private_bus(tmp_path: Path) -> Iterator[PrivateBus]:
    if shutil.which("dbus-daemon") is None:
        words = "dbus-daemon is not installed"
        pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    command = ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address"]
    with subprocess.Popen(
        [*command, f"--address=unix:path={tmp_path}/bus"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield PrivateBus(process.stdout.readline().strip(), process)
        process.kill()


@pytest.fixture(autouse=True)
def _sockets_are_closed() -> Iterator[None]:
    """In the test that they are of: the library leaves them to the garbage collection."""
    yield
    gc.collect()


def story(told: Callable[[], Awaitable[None]]) -> None:
    """Run it to its end; what is left open then is told as a warning, which is an error."""

    async def with_patience() -> None:
        await asyncio.wait_for(told(), 60)

    asyncio.run(with_patience())


def signal(to: str, member: str, signature: str, *body: Any, **more: Any) -> Message:
    more = {"path": MANAGER_PATH, "interface": MANAGER} | more
    return Message(
        message_type=MessageType.SIGNAL,
        destination=to,
        member=member,
        signature=signature,
        body=list(body),
        **more,
    )


async def heard(bus: Bus, by: Bus) -> None:
    """Return when all that was sent has been read: a call goes the same way after it."""
    ping = Message(
        destination=str(bus.unique_name),
        path="/",
        interface="org.freedesktop.DBus.Peer",
        member="Ping",
    )
    await by.call(ping)


def test_of_what_is_too_large_nothing_is_read(private_bus: PrivateBus) -> None:
    came: list[Message] = []

    async def told() -> None:
        victim, stranger = await private_bus.connect(), await private_bus.connect()
        victim.add_message_handler(came.append)
        name = str(victim.unique_name)
        await stranger.send(signal(name, "Large", "ay", bytes(MOST_BYTES)))
        await stranger.send(signal(name, "Small", "ay", b"few"))
        await stranger.send(signal(name, "Path", "", path="/" + "/".join("a" * MOST_BYTES)))
        await heard(victim, stranger)

    story(told)
    assert [(message.member, message.body) for message in came] == [
        ("TooLarge", []),
        ("Small", [b"few"]),
        ("TooLarge", []),
        ("Ping", []),
    ]


def test_what_is_too_large_is_not_kept(private_bus: PrivateBus) -> None:
    """A launcher may have 256 MiB, and anybody may send it 32 at once."""

    async def told() -> None:
        victim, stranger = await private_bus.connect(), await private_bus.connect()
        large = signal(str(victim.unique_name), "Large", "ay", bytes(30 << 20))
        await stranger.send(large)
        tracemalloc.start()
        await heard(victim, stranger)

    try:
        story(told)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_no_descriptor_stays_that_nobody_wanted(private_bus: PrivateBus) -> None:
    counts: list[int] = []

    async def told() -> None:
        systemd, stranger = await private_bus.owner(SYSTEMD), await private_bus.connect()
        victim = await Scopes.connect(BusType.SYSTEM, private_bus.address)
        name = str(victim.bus.unique_name)
        with open("/dev/null", "rb") as null:  # noqa: PTH123 - a descriptor is wanted
            given = [null.fileno()] * 16
            for _ in range(2):
                for sender in (systemd, stranger):
                    await sender.send(signal(name, "UnitRemoved", "so", UNIT, "/", unix_fds=given))
                    await sender.send(
                        signal(name, "Large", "ay", bytes(MOST_BYTES), unix_fds=given)
                    )
                    call = Message(destination=name, path="/", member="Ping", unix_fds=given)
                    await sender.call(call)
                await heard(victim.bus, stranger)
                counts.append(len(list(Path("/proc/self/fd").iterdir())))

    story(told)
    assert counts[0] == counts[1]


def test_systemd_s_signals_count_and_nobody_else_s(private_bus: PrivateBus) -> None:
    async def told() -> None:
        systemd, stranger = await private_bus.owner(SYSTEMD), await private_bus.connect()
        victim = await Scopes.connect(BusType.SYSTEM, private_bus.address)
        name = str(victim.bus.unique_name)
        result: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        victim._job_waiters[JOB] = result
        changed = victim._unit_waiters[scopes.unit_path(UNIT)] = asyncio.Event()
        # It would be believed from then on.
        change = signal(
            name,
            "NameOwnerChanged",
            "sss",
            SYSTEMD,
            str(systemd.unique_name),
            str(stranger.unique_name),
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
        )
        await stranger.send(change)
        for sender in (stranger, systemd):
            await sender.send(signal(name, "JobRemoved", "uoss", 7, JOB, UNIT, "failed"))
            await sender.send(signal(name, "UnitRemoved", "so", UNIT, scopes.unit_path(UNIT)))
            await heard(victim.bus, sender)
            assert (result.done(), changed.is_set()) == (sender is systemd,) * 2
        # A systemd that executes itself anew comes back under another name.
        await systemd.release_name(SYSTEMD)
        again = await private_bus.owner(SYSTEMD)
        changed.clear()
        for sender in (systemd, again):
            await sender.send(signal(name, "UnitRemoved", "so", UNIT, scopes.unit_path(UNIT)))
            await heard(victim.bus, sender)
            assert changed.is_set() is (sender is again)

    story(told)


def test_a_bus_that_goes_away_is_one_line(
    private_bus: PrivateBus, caplog: pytest.LogCaptureFixture
) -> None:
    async def told() -> None:
        await private_bus.owner(SYSTEMD)
        gone = await Scopes.connect(BusType.SYSTEM, private_bus.address)
        asking = asyncio.create_task(gone.names("*"))
        await asyncio.sleep(0)
        private_bus.process.kill()
        with pytest.raises(Unanswered):
            await asking
        with pytest.raises(Unanswered):
            await gone.names("*")
        with pytest.raises(Unanswered):
            await gone.names("*")

    with capture_logs() as lines, caplog.at_level(logging.WARNING):
        story(told)
        gc.collect()
    assert [line["event"] for line in lines] == ["bus_gone", "bus_gone"]
    assert caplog.text == ""


def test_what_cannot_be_sent_is_no_traceback(private_bus: PrivateBus) -> None:
    unheard: list[object] = []

    async def told() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: unheard.append(context))
        cut_off = await private_bus.connect()
        cut_off._sock.shutdown(socket.SHUT_WR)
        cut_off.send(signal(":1.1", "Nothing", ""))
        await asyncio.wait({cut_off.ended})
        del cut_off
        gc.collect()

    with capture_logs():
        story(told)
    assert unheard == []


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ("org.ffmpeg_worker.Error.NotAllowed", ScopeError),
        ("org.ffmpeg_worker.Error.LimitTooHigh", NotAllowed),
        ("org.ffmpeg_worker.Error.SystemdRefused", ScopeError),
        ("org.ffmpeg_worker.Error.Unanswered", Unanswered),
        ("org.ffmpeg_worker.Error.Failed", Unanswered),
        ("org.freedesktop.DBus.Error.AccessDenied", Unanswered),
        ("org.freedesktop.DBus.Error.LimitsExceeded", Unanswered),
        ("org.freedesktop.DBus.Error.UnknownMethod", Unanswered),
        ("System.Error.EMFILE", Unanswered),
    ],
)
def test_only_a_refusal_of_what_was_asked_is_the_job_s_fault(
    private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch, error: str, fault: type[ScopeError]
) -> None:
    monkeypatch.setattr(by_system, "PAUSES_SECONDS", (0.01,))
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", private_bus.address)

    async def told() -> None:
        await private_bus.owner(SYSTEMD)
        launcher = await private_bus.owner(LAUNCHER)
        launcher.add_message_handler(
            lambda call: (
                Message.new_error(call, error, "it is so")
                if call.message_type is MessageType.METHOD_CALL
                else None
            )
        )
        with pytest.raises(ScopeError, match="it is so") as raised:
            await BySystem().stop("aaaaaaaaaaaa")
        assert raised.type is fault

    story(told)


def test_strangers_keep_no_more_questions_open_than_polkit_should_have(
    private_bus: PrivateBus,
) -> None:
    """Each waits for a password; a bus lets a launcher have so many, systemd's among them."""

    async def told() -> None:
        await private_bus.owner(SYSTEMD)
        polkit = await private_bus.owner("org.freedesktop.PolicyKit1")
        polkit.add_message_handler(lambda _: True)  # which waits
        victim = await Scopes.connect(BusType.SYSTEM, private_bus.address)
        authority = Authority(victim, worker_uid=1, worker_unit="ffmpeg-worker.service")
        authority._uids[":1.99"] = 1000
        call = Message(path="/", member="Freeze", signature="s", body=["a"], sender=":1.99")
        asked = [
            asyncio.create_task(authority.authorize(call, "org.ffmpeg_worker.freeze-job"))
            for _ in range(ASKED_AT_ONCE + 5)
        ]
        over, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert [error.kind for task in over if isinstance(error := task.exception(), Refusal)] == [
            "Busy"
        ] * 5
        authority._uids[call.sender] = 1  # the worker's own is not asked about
        assert await authority.authorize(call, None) == 1

    story(told)
