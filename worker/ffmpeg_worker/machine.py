"""What this machine has: cores, memory, and disk for jobs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ffmpeg_worker.capacity import Resources
from ffmpeg_worker.cgroup import caps
from ffmpeg_worker.disk import nearest, usable_mb
from ffmpeg_worker.surroundings import jobs_cgroup
from ffmpeg_worker.tree import used_bytes


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_mb() -> int:
    """The machine's memory in MiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def resources(state_directory: Path, manager: str) -> Resources:
    """What the machine has. Of the disk: what is free on the state directory's volume, less the
    part that always stays free, and what jobs of ours already take."""
    directory = nearest(state_directory)
    space = shutil.disk_usage(directory)
    held = used_bytes(state_directory / "jobs") + sum(map(used_bytes, _staged(state_directory)))
    disk_mb = usable_mb(space.free, space.total) + (held >> 20)
    return Resources(cores(), memory_mb(), disk_mb, caps(jobs_cgroup(manager)))


def _staged(state_directory: Path) -> Iterator[Path]:
    """The outputs that jobs write outside of their directories, on the same volume."""
    volume = nearest(state_directory).stat().st_dev
    for recorded in (state_directory / "jobs").glob("*.*/plan.json"):
        # It went away meanwhile, is not ours to read, or is no plan: whoever adopts it says so.
        with suppress(OSError, ValueError, TypeError, KeyError):
            plan = json.loads(recorded.read_text(encoding="utf-8"))
            if plan["publish_to"] and Path(plan["staged"]).stat().st_dev == volume:
                yield Path(plan["staged"])
