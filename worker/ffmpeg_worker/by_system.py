"""Jobs in scopes of systemd's system manager, put there by the launcher."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from dbus_next.constants import BusType
from dbus_next.message import Message

from ffmpeg_worker.calls import CallRefused, NotAllowed, ScopeError, Unanswered, call
from ffmpeg_worker.cgroup import offered_controllers
from ffmpeg_worker.connection import Connection
from ffmpeg_worker.limits import NETWORK, UNIT_PATTERN, HeldLimits, unit_name
from ffmpeg_worker.scopes import ScopeEnd, Scopes

LAUNCHER: Final = "org.ffmpeg_worker.Launcher1"
LAUNCHER_PATH: Final = "/org/ffmpeg_worker/Launcher1"
#: What the launcher says to what it was asked. With any other error the launcher, the bus or
#: systemd is at fault, and never the job: Unanswered and Failed of the launcher's own, and what the
#: bus says of one that is of another version, or that nobody lets us reach.
ERROR: Final = "org.ffmpeg_worker.Error."
#: What it says of a job's limits, not of the machine.
OF_THE_JOB: Final = (ERROR + "LimitTooHigh", ERROR + "InvalidLimit")
REFUSALS: Final = (
    *OF_THE_JOB,
    *(ERROR + kind for kind in ("NotAllowed", "InvalidJobId", "SystemdRefused")),
)
#: Between the tries of a call that nobody answered: what died is there again within a second,
#: a launcher that died often only after systemd's StartLimitIntervalSec of 10 s.
PAUSES_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)


class BySystem:
    """The packaged way: the launcher places, systemd's system manager holds."""

    manager = "system"
    confines = True

    def __init__(self) -> None:
        """Connects at the first use."""
        self._connection = Connection(lambda: Scopes.connect(BusType.SYSTEM), "the system bus")

    def enforced(self) -> tuple[str, ...]:
        """See Placement."""
        return offered_controllers()

    async def place(
        self, job_id: str, pidfd: int, held: HeldLimits, *, network: bool = False
    ) -> None:
        """See Placement."""
        limits = {
            "cpu_percent": held.cpu_percent,
            "memory_mb": held.memory_mb,
            "timeout_seconds": held.timeout_seconds,
            "tasks": held.tasks,
        } | ({NETWORK: 1} if network else {})
        await self._launcher("StartJob", "hsa{st}", [0, job_id, limits], [pidfd])

    async def filters(self, job_id: str) -> bool:
        """See Placement."""
        return await (await self._connection.scopes()).filters(unit_name(job_id))

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
        return await (await self._connection.scopes()).wait_over(unit_name(job_id))

    async def job_units(self) -> list[str]:
        """See Placement."""
        return await (await self._connection.scopes()).names(UNIT_PATTERN)

    async def _launcher(
        self, member: str, signature: str, body: list[Any], fds: list[int] | None = None
    ) -> None:
        """Call the launcher, again where nobody answered. All it does may be asked for twice."""
        for pause in (*PAUSES_SECONDS, None):
            message = Message(
                destination=LAUNCHER,
                path=LAUNCHER_PATH,
                interface=LAUNCHER,
                member=member,
                signature=signature,
                body=body,
                unix_fds=fds or [],
            )
            try:
                await call((await self._connection.scopes()).bus, message)
                return
            except CallRefused as error:
                if error.name in REFUSALS:
                    kind = NotAllowed if error.name in OF_THE_JOB else ScopeError
                    raise kind(f"{member} was refused: {error}") from None
                if pause is None:
                    raise Unanswered(f"{member} failed: {error}") from None
            except Unanswered:
                if pause is None:
                    raise
            await asyncio.sleep(pause)
