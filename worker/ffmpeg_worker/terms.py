"""Terms on which a job runs: as the kernel's files tell them, and as limits to hold it to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ffmpeg_jobs.model import Terms
from ffmpeg_worker.limits import MIB, HeldLimits

#: The files of a cgroup that ``terms_of`` reads.
FILES: Final = ("cgroup.events", "cpu.max", "memory.max")


def terms_of(found: Mapping[str, str | None]) -> Terms:
    """The terms that files of a cgroup tell of (the kernel's cgroup-v2.rst)."""
    quota, _, period = (found["cpu.max"] or "max").partition(" ")
    memory = found["memory.max"] or "max"
    return Terms(
        paused="frozen 1" in (found["cgroup.events"] or "").splitlines(),
        max_cpu_percent=None if quota == "max" else int(quota) * 100 // int(period),
        max_memory_mb=None if memory == "max" else int(memory) // MIB,
    )


def held_under(planned: HeldLimits, wanted: Terms) -> HeldLimits:
    """What was planned, with the limits that are wanted now."""
    return replace(
        planned,
        cpu_percent=wanted.max_cpu_percent or planned.cpu_percent,
        memory_mb=wanted.max_memory_mb or planned.memory_mb,
    )
