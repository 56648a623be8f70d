"""What this machine has: cores, memory, and disk for jobs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ffmpeg_worker.capacity import Resources
from ffmpeg_worker.disk import LEAST_FREE_PERCENT, nearest, used_bytes


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_mb() -> int:
    """The machine's memory in MiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def resources(state_directory: Path) -> Resources:
    """What the machine has. Of the disk: what is free on the state directory's volume, less the
    part that always stays free, and what jobs of ours already take."""
    space = shutil.disk_usage(nearest(state_directory))
    kept = int(space.total * LEAST_FREE_PERCENT / 100)
    disk = max(0, space.free - kept) + used_bytes(state_directory / "jobs")
    return Resources(cores(), memory_mb(), disk >> 20)
