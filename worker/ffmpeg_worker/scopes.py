"""systemd's manager over D-Bus, as far as scopes need it.

Interface: org.freedesktop.systemd1(5). The end of a systemd job or of a unit is awaited by its
signal, which counts only from systemd itself: anybody on the bus may send one that looks the same.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from dbus_next.constants import BusType, MessageType
from dbus_next.message import Message
from dbus_next.signature import Variant

from ffmpeg_worker.bus import Bus, close_descriptors, connected
from ffmpeg_worker.calls import (
    BUS,
    CALL_TIMEOUT_SECONDS,
    MANAGER,
    MANAGER_PATH,
    NO_SUCH_UNIT,
    PROPERTIES,
    SCOPE,
    SYSTEMD,
    UNIT,
    UNIT_EXISTS,
    CallRefused,
    ScopeError,
    StartFailed,
    Unanswered,
    ask_bus,
    call,
)

#: A signal can be lost while systemd re-executes itself or the bus starts again.
RECHECK_SECONDS: Final = 2.0
#: A manager that starts itself anew is back within some tenths of a second.
REEXECUTE_LOOK_SECONDS: Final = 0.1
#: What systemd says of a scope whose packets nobody counts, because it has no BPF programs.
UNCOUNTED: Final = (1 << 64) - 1
#: systemd takes pidfds, which cannot be recycled as pids can, from this version on.
PIDFDS_SINCE: Final = 255
#: SIGKILL follows SIGTERM after this long: a canceled job is gone within 5 s.
STOP_TIMEOUT_USEC: Final = 3_000_000
#: Result of a scope that was over its time, and, in our word, of one that did not obey a stop:
#: systemd's word is the same for both, a SIGKILL after TimeoutStopUSec.
TIMEOUT: Final = "timeout"
DISOBEYED: Final = "disobeyed"
#: What every scope of ours has beside its limits; IOAccounting makes io.stat count. No reference
#: (AddRef): what ended well is forgotten by itself, and what failed waits for ResetFailedUnit.
SCOPE_PROPERTIES: Final[tuple[tuple[str, str, Any], ...]] = (
    ("CPUAccounting", "b", True),
    ("MemoryAccounting", "b", True),
    ("TasksAccounting", "b", True),
    ("IOAccounting", "b", True),
    ("TimeoutStopUSec", "t", STOP_TIMEOUT_USEC),
)


@dataclass(frozen=True)
class ScopeEnd:
    """How a scope stands: systemd's ActiveState and Result, or DISOBEYED."""

    active_state: str
    result: str

    @property
    def over(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.active_state in ("inactive", "failed")


def unit_path(unit: str) -> str:
    """The object path of a unit: all but letters and digits as _xx (sd_bus_path_encode(3))."""
    label = "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):02x}" for c in unit)
    return f"/org/freedesktop/systemd1/unit/{label}"


class Scopes:
    """Scopes of one manager: the system's, or a user's."""

    def __init__(self, bus: Bus) -> None:
        """``bus`` is connected; call ``subscribe`` before a scope is started or stopped."""
        self.bus = bus
        self.bus.add_message_handler(self._on_message)
        #: For calls to us: the answer; True where it comes later, and the call's descriptors are
        #: closed by whoever answers; None where the library knows what to say.
        self.on_call: Callable[[Message], Message | bool | None] = lambda _: None
        self.takes_pidfds = False
        self._systemd = ""  #: the unique name of its connection
        self._jobs: dict[str, str] = {}  #: results that came before anyone waited
        self._job_waiters: dict[str, asyncio.Future[str]] = {}
        self._unit_waiters: dict[str, asyncio.Event] = {}  #: one per unit: its attempt

    @classmethod
    async def connect(cls, bus_type: BusType, address: str | None = None) -> Scopes:
        """Connect to the bus, at ``address`` where it is not the usual one.

        Raises OSError, EOFError, AuthError, or ScopeError where there is no systemd.
        """
        scopes = cls(await connected(bus_type, address))
        try:
            changes = "type='signal',member='NameOwnerChanged'"
            await ask_bus(scopes.bus, "AddMatch", f"{changes},sender='{BUS}',arg0='{SYSTEMD}'")
            scopes._systemd = str((await ask_bus(scopes.bus, "GetNameOwner", SYSTEMD))[0])
        except ScopeError:
            scopes.bus.close()
            raise
        return scopes

    async def subscribe(self) -> None:
        """Listen to the ends of the manager's jobs, which it sends to whoever asked for one.

        Not to units: each scope sends a dozen signals, which would be half of what a launch costs.
        Who waits for one has them sent (Subscribe), and listens to that one.
        """
        rule = f"type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved'"
        await ask_bus(self.bus, "AddMatch", rule)
        version = str(await self._property(MANAGER_PATH, MANAGER, "Version"))
        digits = re.match(r"\d+", version)
        self.takes_pidfds = digits is not None and int(digits[0]) >= PIDFDS_SINCE

    async def start(
        self, unit: str, pid: int, pidfd: int, properties: Sequence[tuple[str, str, Any]]
    ) -> None:
        """Make the scope with the process in it. Raises ScopeError.

        A leftover of the same name, failed or finished, is cleared away; a running one is not.
        """
        process = ["PIDs", Variant("au", [pid])]
        if self.takes_pidfds:
            process = ["PIDFDs", Variant("ah", [0])]
        rows = [process, *([name, Variant(sign, value)] for name, sign, value in properties)]
        body = [unit, "fail", rows, []]
        fds = [pidfd] if self.takes_pidfds else []
        try:
            try:
                result = await self._job("StartTransientUnit", "ssa(sv)a(sa(sv))", body, fds)
            except CallRefused as error:
                if error.name != UNIT_EXISTS or not (await self.end_of(unit)).over:
                    raise
                await self.forget(unit)
                result = await self._job("StartTransientUnit", "ssa(sv)a(sa(sv))", body, fds)
        except CallRefused as error:
            raise ScopeError(f"systemd cannot start {unit}: {error}") from None
        if result != "done":
            await self.forget(unit)
            raise StartFailed(f"systemd could not start {unit}: the start job's result is {result}")

    async def stop(self, unit: str) -> None:
        """End every process of the unit, first with SIGTERM, then SIGKILL; returns when over."""
        try:
            # From version 256 on systemd does not stop what is frozen.
            if await self._job("StopUnit", "ss", [unit, "replace"]) == "frozen":
                await self.thaw(unit)
                await self._job("StopUnit", "ss", [unit, "replace"])
        except CallRefused as error:
            if error.name != NO_SUCH_UNIT:
                raise ScopeError(f"systemd cannot stop {unit}: {error}") from None

    async def reexecute(self) -> None:
        """Have the manager start itself anew, until it answers again. Raises ScopeError."""
        with suppress(Unanswered):  # it answers by being another one
            await self._manager("Reexecute")
        until = time.monotonic() + CALL_TIMEOUT_SECONDS
        while True:
            try:
                await self._property(MANAGER_PATH, MANAGER, "Version")
                return
            except Unanswered:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(REEXECUTE_LOOK_SECONDS)

    async def forget(self, unit: str) -> None:
        """Drop what systemd remembers of a unit that is over and failed."""
        with suppress(CallRefused):  # it is not there: nothing to drop
            await self._manager("ResetFailedUnit", "s", [unit])

    async def set_properties(self, unit: str, properties: Sequence[tuple[str, str, Any]]) -> None:
        """Change a running unit's properties until it ends. Raises ScopeError."""
        rows = [[n, Variant(s, v)] for n, s, v in properties]
        await self._plain("SetUnitProperties", "sba(sv)", [unit, True, rows])

    async def freeze(self, unit: str) -> None:
        """Freeze every process of the unit (cgroup freezer). Raises ScopeError."""
        await self._plain("FreezeUnit", "s", [unit])

    async def thaw(self, unit: str) -> None:
        """Let a frozen unit go on. Raises ScopeError."""
        await self._plain("ThawUnit", "s", [unit])

    async def names(self, pattern: str) -> list[str]:
        """Names of the loaded units that match the pattern."""
        rows = (await self._manager("ListUnitsByPatterns", "asas", [[], [pattern]]))[0]
        return [str(row[0]) for row in rows]

    async def filters(self, unit: str) -> bool:
        """Whether the scope's packets are held against lists: it has them, and BPF programs that
        see the packets, which a manager without the right to them only says in its journal."""
        try:
            denied = await self._get(unit, SCOPE, "IPAddressDeny")
            counted = int(await self._get(unit, SCOPE, "IPIngressBytes"))
        except CallRefused:
            return False
        return bool(denied) and counted != UNCOUNTED

    async def control_group(self, unit: str) -> str:
        """The unit's cgroup path below /sys/fs/cgroup. Raises CallRefused."""
        interface = f"{SYSTEMD}.{unit.rpartition('.')[2].capitalize()}"
        return str(await self._get(unit, interface, "ControlGroup"))

    async def end_of(self, unit: str) -> ScopeEnd:
        """How the scope stands now; one that systemd does not know is inactive."""
        try:
            state = str(await self._get(unit, UNIT, "ActiveState"))
            result = str(await self._get(unit, SCOPE, "Result"))
            if result == TIMEOUT and not await self._ran_its_time(unit):
                result = DISOBEYED
            return ScopeEnd(state, result)
        except CallRefused:
            return ScopeEnd("inactive", "")

    async def _ran_its_time(self, unit: str) -> bool:
        """Whether it was active for RuntimeMaxUSec, when it began to be stopped."""
        begun, stopped = [
            int(await self._get(unit, UNIT, f"Active{name}TimestampMonotonic"))
            for name in ("Enter", "Exit")
        ]
        return stopped - begun >= int(await self._get(unit, SCOPE, "RuntimeMaxUSec"))

    async def wait_over(self, unit: str) -> ScopeEnd:
        """Wait until nothing of the scope runs any more."""
        end = await self.end_of(unit)
        if end.over:
            return end
        path, changed = unit_path(unit), asyncio.Event()
        rules = (
            f"type='signal',sender='{SYSTEMD}',interface='{PROPERTIES}',path='{path}'",
            f"type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='UnitRemoved',"
            f"arg0='{unit}'",
        )
        self._unit_waiters[path] = changed
        try:
            await self._hear_units("Subscribe")
            for rule in rules:
                await ask_bus(self.bus, "AddMatch", rule)
            while not (end := await self.end_of(unit)).over:
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), RECHECK_SECONDS)
                changed.clear()
            return end
        finally:
            del self._unit_waiters[path]
            with suppress(ScopeError):  # with the bus, the matches are gone too
                for rule in rules:
                    await ask_bus(self.bus, "RemoveMatch", rule)
                if not self._unit_waiters:
                    await self._hear_units("Unsubscribe")

    async def _hear_units(self, member: str) -> None:
        with suppress(CallRefused):  # it is so already
            await self._manager(member)

    async def _plain(self, member: str, signature: str, body: list[Any]) -> None:
        try:
            await self._manager(member, signature, body)
        except CallRefused as error:
            raise ScopeError(f"systemd refused {member} of {body[0]}: {error}") from None

    async def _manager(
        self, member: str, signature: str = "", body: Any = None, fds: list[int] | None = None
    ) -> list[Any]:
        message = Message(
            destination=SYSTEMD,
            path=MANAGER_PATH,
            interface=MANAGER,
            member=member,
            signature=signature,
            body=body or [],
            unix_fds=fds or [],
        )
        return await call(self.bus, message)

    async def _get(self, unit: str, interface: str, name: str) -> Any:
        return await self._property(unit_path(unit), interface, name)

    async def _property(self, path: str, interface: str, name: str) -> Any:
        message = Message(
            destination=SYSTEMD,
            path=path,
            interface=PROPERTIES,
            member="Get",
            signature="ss",
            body=[interface, name],
        )
        return (await call(self.bus, message))[0].value

    async def _job(
        self, member: str, signature: str, body: list[Any], fds: list[int] | None = None
    ) -> str:
        """Call a method that queues a systemd job; the job's result, such as "done"."""
        job = (await self._manager(member, signature, body, fds))[0]
        if job in self._jobs:
            return self._jobs.pop(job)
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._job_waiters[job] = waiter
        try:
            return await asyncio.wait_for(waiter, CALL_TIMEOUT_SECONDS)
        except TimeoutError:
            raise Unanswered(f"systemd did not finish {member} of {body[0]}") from None
        finally:
            self._job_waiters.pop(job, None)

    def _on_message(self, message: Message) -> Message | bool | None:
        answer = None
        try:
            if message.message_type is MessageType.METHOD_CALL:
                answer = self.on_call(message)
            elif message.message_type is MessageType.SIGNAL:
                self._on_signal(message)
        finally:
            if answer is not True:
                close_descriptors(message)
        return answer

    def _on_signal(self, message: Message) -> None:
        if message.sender == BUS and message.member == "NameOwnerChanged":
            self._systemd = message.body[2]  # nobody, for a moment, while it executes itself anew
        elif message.sender == self._systemd:
            self._on_systemd(message)

    def _on_systemd(self, message: Message) -> None:
        if message.member == "JobRemoved":
            _, job, unit, result = message.body
            waiter = self._job_waiters.get(job)
            if waiter is not None and not waiter.done():
                waiter.set_result(result)
            elif waiter is None and unit.startswith("ffmpeg-job-"):
                # The signal may overtake the method's own answer; keep a bounded few.
                self._jobs[job] = result
                while len(self._jobs) > 100:
                    self._jobs.pop(next(iter(self._jobs)))
        elif message.member in ("PropertiesChanged", "UnitRemoved"):
            path = message.body[1] if message.member == "UnitRemoved" else message.path
            changed = self._unit_waiters.get(path)
            if changed is not None:
                changed.set()
