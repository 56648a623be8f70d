"""Jobs in scopes of the account's own ``systemd --user``: nothing of ours is root.

The manager may take processes of its own account out of the worker's cgroup: it has PID 1 move
them (AttachProcessesToUnit). Without more rights than the account has, there is nobody to
check what a caller brings, so no launcher stands between.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Final

import structlog
from dbus_next.constants import BusType

from ffmpeg_worker.calls import ScopeError, StartFailed
from ffmpeg_worker.cgroup import offered_controllers
from ffmpeg_worker.connection import Connection
from ffmpeg_worker.limits import UNIT_PATTERN, HeldLimits, properties_of, unit_name
from ffmpeg_worker.pidfd import pid_of
from ffmpeg_worker.scopes import SCOPE_PROPERTIES, ScopeEnd, Scopes
from ffmpeg_worker.surroundings import user_bus, user_cgroup

#: The manager is started anew at most so often: where that does not help, more of it will not.
RENEW_SECONDS: Final = 20.0

log = structlog.get_logger()


class ByUser:
    """The rootless way: the account's manager places and holds."""

    manager = "user"
    confines = True

    def __init__(self) -> None:
        """Connects at the first use."""
        self._connection = Connection(_connect, "the bus of this account's systemd --user")
        self._renewing = asyncio.Lock()
        self._renewed_at = float("-inf")  #: by time.monotonic()

    def enforced(self) -> tuple[str, ...]:
        """See Placement."""
        cgroup = user_cgroup(os.getuid())
        return () if cgroup is None else offered_controllers(cgroup)

    async def place(
        self, job_id: str, pidfd: int, held: HeldLimits, *, network: bool = False
    ) -> None:
        """See Placement."""
        limits = {
            "cpu_percent": held.cpu_percent,
            "memory_mb": held.memory_mb,
            "timeout_seconds": held.timeout_seconds,
            "tasks": held.tasks,
        }
        properties = [*properties_of(limits, live=False), *SCOPE_PROPERTIES]
        # The manager's own root: its cgroup, and whatever slice that was put in.
        properties += [("Slice", "s", "-.slice"), ("Description", "s", f"ffmpeg job {job_id}")]
        pid = pid_of(pidfd)
        if pid is None:
            raise ScopeError(f"job {job_id}: its process has ended")
        began = time.monotonic()
        start = unit_name(job_id), pid, pidfd, properties
        try:
            await (await self._connection.scopes()).start(*start)
        except StartFailed as error:
            await self._renew(began, error)
            await (await self._connection.scopes()).start(*start)

    async def _renew(self, before: float, error: StartFailed) -> None:
        """Have the manager connect to the system bus anew: a restart of that cost it the
        connection, by which it has PID 1 move processes, and it looks for it only when it
        starts. Raises ``error`` again where that was done a moment before."""
        async with self._renewing:
            if self._renewed_at > before:  # beside another start that failed
                return
            if time.monotonic() - self._renewed_at < RENEW_SECONDS:
                raise error
            log.warning("user_manager_renewed", reason=str(error))
            await (await self._connection.scopes()).reexecute()
            self._renewed_at = time.monotonic()

    async def filters(self, job_id: str) -> bool:
        """See Placement. BPF programs on cgroups are root's."""
        return False

    async def stop(self, job_id: str) -> None:
        """See Placement."""
        scopes = await self._connection.scopes()
        await scopes.stop(unit_name(job_id))
        await scopes.forget(unit_name(job_id))

    async def freeze(self, job_id: str) -> None:
        """See Placement."""
        await (await self._connection.scopes()).freeze(unit_name(job_id))

    async def thaw(self, job_id: str) -> None:
        """See Placement."""
        await (await self._connection.scopes()).thaw(unit_name(job_id))

    async def set_limits(self, job_id: str, limits: Mapping[str, int]) -> None:
        """See Placement."""
        properties = properties_of(limits, live=True)
        await (await self._connection.scopes()).set_properties(unit_name(job_id), properties)

    async def wait_over(self, job_id: str) -> ScopeEnd:
        """See Placement."""
        return await (await self._connection.scopes()).wait_over(unit_name(job_id))

    async def job_units(self) -> list[str]:
        """See Placement."""
        return await (await self._connection.scopes()).names(UNIT_PATTERN)


async def _connect() -> Scopes:
    scopes = await Scopes.connect(BusType.SESSION, f"unix:path={user_bus(os.getuid())}")
    await scopes.subscribe()
    # PID 1, which moves the process for the manager, is asked for a pid in every version. It
    # cannot be another's: the holder is our child, and its end is ours to collect.
    scopes.takes_pidfds = False
    return scopes
