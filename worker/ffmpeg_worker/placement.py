"""The verbs that hold a job: place, stop, freeze, thaw, set_limits; and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from dbus_next.constants import BusType
from dbus_next.errors import AuthError
from dbus_next.message import Message

from ffmpeg_worker.limits import CONTROLLERS, UNIT_PATTERN, HeldLimits, unit_name
from ffmpeg_worker.scopes import CallRefused, ScopeEnd, ScopeError, Scopes, call

CGROUPS: Final = Path("/sys/fs/cgroup")
LAUNCHER: Final = "org.ffmpeg_worker.Launcher1"
NOT_STARTED: Final = "org.freedesktop.DBus.Error.TimedOut"
START_TRIES: Final = 4
LAUNCHER_PATH: Final = "/org/ffmpeg_worker/Launcher1"


class Placement(Protocol):
    """Who holds jobs to their limits. Every verb raises ScopeError when it was not done."""

    manager: str  #: as in worker.toml: system, user or none

    async def place(self, job_id: str, pidfd: int, held: HeldLimits) -> None:
        """Put a waiting process into the job's scope, with its limits."""

    async def stop(self, job_id: str) -> None:
        """End every process of the job and forget its scope; repeats do nothing."""

    async def freeze(self, job_id: str) -> None:
        """Stop the job's processes from running, without ending them."""

    async def thaw(self, job_id: str) -> None:
        """Let a frozen job go on."""

    async def set_limits(self, job_id: str, limits: Mapping[str, int]) -> None:
        """Change limits of a running job: cpu_percent, memory_mb, tasks."""

    async def wait_over(self, job_id: str) -> ScopeEnd:
        """Wait until nothing of the job runs; how its scope ended."""

    async def job_units(self) -> list[str]:
        """Names of the scopes that exist now."""


class LauncherPlacement:
    """The packaged way: the launcher places, systemd's system manager holds."""

    manager = "system"

    def __init__(self) -> None:
        """Connects at the first use, and again after the bus went away."""
        self._scopes: Scopes | None = None

    async def place(self, job_id: str, pidfd: int, held: HeldLimits) -> None:
        """See Placement."""
        limits = {
            "cpu_percent": held.cpu_percent,
            "memory_mb": held.memory_mb,
            "timeout_seconds": held.timeout_seconds,
            "tasks": held.tasks,
        }
        await self._launcher("StartJob", "hsa{st}", [0, job_id, limits], [pidfd])

    async def stop(self, job_id: str) -> None:
        """See Placement."""
        await self._launcher("StopJob", "s", [job_id])

    async def freeze(self, job_id: str) -> None:
        """See Placement."""
        await self._launcher("Freeze", "s", [job_id])

    async def thaw(self, job_id: str) -> None:
        """See Placement."""
        await self._launcher("Thaw", "s", [job_id])

    async def set_limits(self, job_id: str, limits: Mapping[str, int]) -> None:
        """See Placement."""
        await self._launcher("SetLimits", "sa{st}", [job_id, dict(limits)])

    async def wait_over(self, job_id: str) -> ScopeEnd:
        """See Placement."""
        return await (await self._connected()).wait_over(unit_name(job_id))

    async def job_units(self) -> list[str]:
        """See Placement."""
        return await (await self._connected()).names(UNIT_PATTERN)

    async def _launcher(
        self, member: str, signature: str, body: list[Any], fds: list[int] | None = None
    ) -> None:
        message = Message(
            destination=LAUNCHER,
            path=LAUNCHER_PATH,
            interface=LAUNCHER,
            member=member,
            signature=signature,
            body=body,
            unix_fds=fds or [],
        )
        scopes = await self._connected()
        for tries_left in reversed(range(START_TRIES)):
            try:
                await call(scopes.bus, message)
                return
            except CallRefused as error:
                # The bus gave up on starting the launcher; the call itself was not delivered.
                if error.name != NOT_STARTED or not tries_left:
                    raise ScopeError(f"{member} was refused: {error}") from None

    async def _connected(self) -> Scopes:
        if self._scopes is None or not self._scopes.bus.connected:
            try:
                self._scopes = await Scopes.connect(BusType.SYSTEM)
            except (OSError, AuthError) as error:
                raise ScopeError(f"no connection to the system bus: {error}") from None
        return self._scopes


def cgroup_of(pid: int) -> Path | None:
    """The directory of a process's cgroup (version 2 only); None: it ended, or there is none."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    return None if path is None else CGROUPS / path.lstrip("/")


def read_back(cgroup: Path, names: list[str]) -> dict[str, str | None]:
    """What the kernel says in the given files of a cgroup; None for a file that is not there."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = (cgroup / name).read_text(encoding="ascii").strip()
        except OSError:
            found[name] = None
    return found


def enforced_controllers() -> tuple[str, ...]:
    """The controllers that this machine's kernel offers to slices, of those that limits need."""
    try:
        offered = (CGROUPS / "cgroup.controllers").read_text(encoding="ascii").split()
    except OSError:  # version 1, or no cgroups at all
        return ()
    return tuple(name for name in (*CONTROLLERS, "io") if name in offered)
