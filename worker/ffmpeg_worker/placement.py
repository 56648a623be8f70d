"""The verbs that hold a job: place, stop, freeze, thaw, set_limits; and who does them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ffmpeg_worker.by_system import BySystem
from ffmpeg_worker.by_user import ByUser
from ffmpeg_worker.config import Config
from ffmpeg_worker.limits import HeldLimits
from ffmpeg_worker.scopes import ScopeEnd
from ffmpeg_worker.unmanaged import Unmanaged


class Placement(Protocol):
    """Who holds jobs to their limits. Every verb raises ScopeError when it was not done."""

    manager: str  #: as in worker.toml: system, user or none
    confines: bool  #: jobs get a cgroup of their own, whose limits can be read back

    def enforced(self) -> tuple[str, ...]:
        """The controllers that hold jobs to their limits here, of cpu, memory, pids, io."""

    async def place(
        self, job_id: str, pidfd: int, held: HeldLimits, *, network: bool = False
    ) -> None:
        """Put a waiting process into the job's scope, with its limits; ``network``: it has the
        machine's, and is to be held to the policy of where it may connect to."""

    async def filters(self, job_id: str) -> bool:
        """Whether the kernel holds what the job connects to against a policy."""

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


def placement_for(config: Config) -> Placement:
    """What ``manager`` in worker.toml asks for."""
    if config.manager == "user":
        return ByUser()
    if config.manager == "none":
        return Unmanaged(config.jobs_directory)
    return BySystem()
