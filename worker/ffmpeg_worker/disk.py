"""Room on the disk: no job starts under 5 % free, and over 90 % used there is a warning."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from ffmpeg_jobs.model import Reason
from ffmpeg_worker.outcome import AttemptError

LEAST_FREE_PERCENT: Final = 5.0
WARN_USED_PERCENT: Final = 90.0


def check_disk(directory: Path, needed_mb: int, reserved_mb: int = 0) -> None:
    """Raises AttemptError (disk_full) where a job that may need ``needed_mb`` MiB has no room.

    ``reserved_mb`` is what jobs that run may still write there. The least free stays free.
    """
    space = shutil.disk_usage(directory)
    free_percent = 100 * space.free / space.total
    free = usable_mb(space.free, space.total)
    if free_percent < LEAST_FREE_PERCENT:
        raise AttemptError(
            Reason.DISK_FULL,
            f"the volume of {directory} has {free_percent:.1f} % free; "
            f"{LEAST_FREE_PERCENT:.0f} % are needed to start a job",
        )
    if free - reserved_mb < needed_mb:
        raise AttemptError(
            Reason.DISK_FULL,
            f"the volume of {directory} has {free} MB free beside the {LEAST_FREE_PERCENT:.0f} % "
            f"that stay free, and {reserved_mb} MB of it are reserved for jobs that run; "
            f"the job may need {needed_mb} MB (max_disk_mb)",
        )


def usable_mb(free_bytes: int, total_bytes: int) -> int:
    """MiB that jobs may fill: what is free, without the least that stays free."""
    return max(0, int(free_bytes - total_bytes * LEAST_FREE_PERCENT / 100)) >> 20


def free_mb(directory: Path) -> int:
    """MiB free on the volume of ``directory``; of its nearest parent, while it is not there."""
    return shutil.disk_usage(nearest(directory)).free >> 20


def nearest(directory: Path) -> Path:
    """The directory, or the nearest of its parents that is there."""
    while not directory.exists():
        directory = directory.parent
    return directory
