"""Jobs without systemd: one at a time, nice, with what an ordinary process can limit.

No cgroup holds them. Memory is limited by RLIMIT_DATA, which a job feels as a failed malloc;
CPU only gives way to others (nice); the time limit is watched by the worker alone, so it does
not end a job while no worker runs.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from ffmpeg_worker import jobdir
from ffmpeg_worker.calls import ScopeError
from ffmpeg_worker.limits import MIB, HeldLimits
from ffmpeg_worker.pidfd import has_ended, pid_of
from ffmpeg_worker.scopes import ScopeEnd

#: The operations guide's figure for workers without control groups.
NICE: Final = 10
#: SIGKILL follows SIGTERM after this long, as in a scope (TimeoutStopUSec).
KILL_AFTER_SECONDS: Final = 3.0
LOOK_EVERY_SECONDS: Final = 0.05


class Unmanaged:
    """The degraded way: processes, and nothing above them."""

    manager = "none"
    confines = False

    def __init__(self, jobs_directory: Path) -> None:
        """Jobs are found by their directories, also those of an earlier worker."""
        self._jobs_directory = jobs_directory

    def enforced(self) -> tuple[str, ...]:
        """See Placement."""
        return ()

    async def place(
        self, job_id: str, pidfd: int, held: HeldLimits, *, network: bool = False
    ) -> None:
        """See Placement."""
        pid = pid_of(pidfd)
        if pid is None:
            raise ScopeError(f"job {job_id}: its process has ended")
        memory_bytes = held.memory_mb * MIB
        try:
            os.setpriority(os.PRIO_PROCESS, pid, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
            resource.prlimit(pid, resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
            resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        except OSError as error:
            raise ScopeError(f"job {job_id}: cannot limit its process: {error}") from None

    async def filters(self, job_id: str) -> bool:
        """See Placement. BPF programs on cgroups are root's."""
        return False

    async def stop(self, job_id: str) -> None:
        """See Placement."""
        for pidfd in self._holders(job_id):
            try:
                await _end(pidfd)
            finally:
                os.close(pidfd)

    async def freeze(self, job_id: str) -> None:
        """See Placement."""
        raise ScopeError(f'job {job_id} cannot be paused: manager = "none" has no cgroup freezer')

    async def thaw(self, job_id: str) -> None:
        """See Placement."""
        raise ScopeError(f'job {job_id} cannot be paused: manager = "none" has no cgroup freezer')

    async def set_limits(self, job_id: str, limits: Mapping[str, int]) -> None:
        """See Placement."""
        raise ScopeError(
            f'job {job_id} runs under manager = "none", which cannot change {", ".join(limits)}'
        )

    async def wait_over(self, job_id: str) -> ScopeEnd:
        """See Placement."""
        for pidfd in self._holders(job_id):
            try:
                await _ended(pidfd, None)
            finally:
                os.close(pidfd)
        return ScopeEnd("inactive", "")

    async def job_units(self) -> list[str]:
        """See Placement."""
        return []

    def running(self) -> list[str]:
        """The jobs whose holder lives. Raises OSError where that cannot be seen."""
        try:
            # Looking for files in a closed directory finds none, and says nothing.
            next(self._jobs_directory.iterdir(), None)
        except FileNotFoundError:
            return []  # no worker ever ran here
        plans = jobdir.recorded(self._jobs_directory)
        return [plan.claim.job_id for plan in plans if not jobdir.holder_ended(plan)]

    def _holders(self, job_id: str) -> Iterator[int]:
        """A pidfd of each living holder of the job."""
        for plan in jobdir.recorded(self._jobs_directory):
            pidfd = jobdir.holder_pidfd(plan) if plan.claim.job_id == job_id else None
            if pidfd is not None:
                yield pidfd


async def _end(holder: int) -> None:
    """SIGTERM to the job, SIGKILL to all of it after a while, and at last to its holder, which may
    be frozen in a scope. Its sandbox dies with it."""
    pid = pid_of(holder)
    if pid is None:
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for child in _children(pid):
            with suppress(ProcessLookupError):
                os.kill(child, sign)
        if await _ended(holder, KILL_AFTER_SECONDS):
            return
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(holder, signal.SIGKILL)
    await _ended(holder, KILL_AFTER_SECONDS)


def _children(pid: int) -> list[int]:
    """The processes that the holder started: the sandbox, whose end ends all in it."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(word) for word in text.split()]


async def _ended(pidfd: int, wait_seconds: float | None) -> bool:
    """Whether the process ended within that time; None waits for it."""
    loop = asyncio.get_running_loop()
    deadline = None if wait_seconds is None else loop.time() + wait_seconds
    while not has_ended(pidfd):
        if deadline is not None and loop.time() > deadline:
            return False
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    return True
