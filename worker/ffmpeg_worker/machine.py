"""What this machine has: cores, memory, and disk for jobs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ffmpeg_worker.capacity import Resources
from ffmpeg_worker.disk import nearest, usable_mb
from ffmpeg_worker.tree import used_bytes


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
    held = used_bytes(state_directory / "jobs") >> 20
    return Resources(cores(), memory_mb(), usable_mb(space.free, space.total) + held)
