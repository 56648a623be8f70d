"""Disk for each job: reserved before it starts, and watched while it runs.

A job's own files are its directory, with the input that is fetched, and its output while that is
written. It may hold max_disk_mb of them, on each volume that it writes media to.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ffmpeg_worker import jobdir
from ffmpeg_worker.disk import LEAST_FREE_PERCENT, check_disk, nearest
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.tree import used_bytes


@dataclass(frozen=True)
class Overuse:
    """A job that has to stop for the disk's sake."""

    plan: Plan
    asked_by: str  #: as the rules of outcome.py know it: "disk" or "volume"


def check_room(directory: Path, plan: Plan, others: Iterable[Plan]) -> None:
    """Raises AttemptError (disk_full) where the volume of ``directory`` has no room for the job
    beside what the others may still write."""
    volume = volume_of(directory)
    needed_mb = plan.max_disk_mb if writes_on(plan, volume) else 0
    check_disk(directory, needed_mb, sum(reserved_mb(other, volume) for other in others))


def volume_of(directory: Path) -> int:
    """The number of the volume that a directory is on, or will be when it is made."""
    while True:
        try:
            return directory.stat().st_dev
        except OSError:  # it is not there, or its path leads nowhere
            if directory == directory.parent:
                raise
            directory = directory.parent


def writes_on(plan: Plan, volume: int) -> bool:
    """Whether the job writes media there, not only its log and progress."""
    here = plan.fetch_from or (plan.staged and not plan.publish_to)
    media = [Path(plan.directory)] if here else []
    return any(volume_of(path) == volume for path in [*media, *_beside(plan)])


def used_mb(plan: Plan, volume: int) -> int:
    """What the job's own files take on a volume."""
    return sum(used_bytes(path) for path in _files(plan) if volume_of(path) == volume) >> 20


def reserved_mb(plan: Plan, volume: int) -> int:
    """What the job may still write on a volume."""
    if jobdir.is_concluded(plan) or not writes_on(plan, volume):
        return 0
    return max(0, plan.max_disk_mb - used_mb(plan, volume))


def overuse(plans: Iterable[Plan]) -> list[Overuse]:
    """The jobs that have to stop: each that holds more than its max_disk_mb; else, on a volume
    with less than the least free, the one that holds most there."""
    running = [plan for plan in plans if not jobdir.is_concluded(plan)]
    over = [plan for plan in running if _used_bytes(plan) > plan.max_disk_mb << 20]
    if over:
        return [Overuse(plan, "disk") for plan in over]
    volumes = {volume_of(path): path for plan in running for path in _files(plan)}
    full = (volume for volume, path in volumes.items() if _is_full(path))
    held = ({plan.directory: used_mb(plan, volume) for plan in running} for volume in full)
    # What others filled is no job's fault: one that holds nothing there frees nothing there.
    largest = {max(on_it, key=lambda name: on_it[name]) for on_it in held if any(on_it.values())}
    return [Overuse(plan, "volume") for plan in running if plan.directory in largest]


def _is_full(path: Path) -> bool:
    space = shutil.disk_usage(nearest(path))
    return 100 * space.free / space.total < LEAST_FREE_PERCENT


def held_mb(plan: Plan) -> int:
    """What the job's own files take, rounded up."""
    return -(-_used_bytes(plan) >> 20)


def _used_bytes(plan: Plan) -> int:
    return sum(map(used_bytes, _files(plan)))


def _files(plan: Plan) -> list[Path]:
    return [Path(plan.directory), *_beside(plan)]


def _beside(plan: Plan) -> list[Path]:
    return [Path(plan.staged)] if plan.staged and plan.publish_to else []
