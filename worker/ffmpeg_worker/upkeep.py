"""Keep the machine well: look at it each second, say what is free, why no job is taken, and
which jobs must stop."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from ffmpeg_jobs.model import Free
from ffmpeg_jobs.wire import to_json
from ffmpeg_worker import admission, folders, jobdir
from ffmpeg_worker.admission import Taken, Vitals, Volume
from ffmpeg_worker.capacity import Resources, Share, share
from ffmpeg_worker.cgroup import caps
from ffmpeg_worker.config import Config
from ffmpeg_worker.disk import LEAST_FREE_PERCENT, WARN_USED_PERCENT, nearest, usable_mb
from ffmpeg_worker.folders import Folders
from ffmpeg_worker.machine import memory_mb
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.pressure import Pressure, read_pressure
from ffmpeg_worker.reservation import Overuse, overuse, reserved_mb, used_mb, volume_of
from ffmpeg_worker.surroundings import jobs_cgroup


@dataclass(frozen=True)
class Look:
    """The machine as it was seen."""

    share: Share
    free: Free
    held_back: str | None  #: why no job is taken, whatever runs
    pressure: Pressure
    full: str | None = None  #: why there is no room beside what runs, for all its slots
    pressed: frozenset[str] = frozenset()
    overuse: tuple[Overuse, ...] = ()
    disk_used_percent: float | None = None  #: of the state directory's volume
    folders: Folders = field(default_factory=Folders)

    @property
    def warning(self) -> str | None:
        """What an operator should know before it holds jobs back."""
        used = self.disk_used_percent
        if used is None or used <= WARN_USED_PERCENT:
            return None
        return f"disk {used:.1f} % used"


def look(config: Config, plans: Collection[Plan], held: int, before: Look) -> Look:
    """Look at the machine; ``held`` of its slots are in use, some by attempts without a plan.

    Reads files and walks the jobs' directories: not for the event loop.
    """
    seen = folders.look(config, before.folders.mounts)
    try:
        return _look(config, plans, held, before.pressed, seen)
    except OSError as error:  # a volume that went away; no job is taken until it is back
        why = f"the disk for jobs cannot be looked at: {error}"
        return replace(unseen("; ".join(seen.faults) or why), folders=seen)


def unseen(why: str) -> Look:
    """A machine of which nothing is known."""
    return Look(Share(0, 0, 0), Free(0, 0, 0, 0), why, Pressure(None, {}))


def in_words(seen: Look) -> dict[str, Any]:
    """The look for /health."""
    return {
        "free": to_json(seen.free),
        "held_back": seen.held_back,
        "disk_used_percent": seen.disk_used_percent,
        "warning": seen.warning,
        "pressure": {"source": seen.pressure.source or "none: the kernel gives no PSI"}
        | dict(seen.pressure.percent),
    }


def _look(
    config: Config,
    plans: Collection[Plan],
    held: int,
    pressed_before: frozenset[str],
    seen: Folders,
) -> Look:
    volume, room = _disk(config, plans)
    cgroup = jobs_cgroup(config.manager)
    of_jobs = share(Resources(config.cpus, memory_mb(), room, caps(cgroup)), config.capacity)
    number = volume_of(config.state_directory)
    taken = [_taken(plan, number, config) for plan in plans]
    free = admission.free(of_jobs, config.max_concurrent_jobs, held, taken)
    pressure = read_pressure(cgroup)
    pressed = admission.pressed(pressure.percent, config.pressure, pressed_before)
    vitals = Vitals(
        free,
        of_jobs,
        volume,
        pressure.percent,
        config.pressure,
        pressed,
        seen.faults,
    )
    why, full = admission.held_back(vitals), admission.full(vitals)
    used_percent = round(100 - volume.free_percent, 1)
    over = tuple(overuse(plans))
    return Look(of_jobs, free, why, pressure, full, pressed, over, used_percent, seen)


def _disk(config: Config, plans: Collection[Plan]) -> tuple[Volume, int]:
    """The state directory's volume, and MiB there for jobs, with what those that run hold."""
    directory = nearest(config.state_directory)
    space = shutil.disk_usage(directory)
    held = sum(used_mb(plan, volume_of(directory)) for plan in plans)
    volume = Volume(str(config.state_directory), 100 * space.free / space.total, LEAST_FREE_PERCENT)
    return volume, usable_mb(space.free, space.total) + held


def _taken(plan: Plan, volume: int, config: Config) -> Taken:
    """What a job may use; one without a limit of its own counts as its part of the cores, and one
    whose ffmpeg has ended only with its disk."""
    disk_mb = used_mb(plan, volume) + reserved_mb(plan, volume)
    if jobdir.is_concluded(plan):
        return Taken(0, 0, disk_mb)
    held = jobdir.held(plan)
    unlimited = plan.claim.job.resource_limits.max_cpu_percent is None and held == plan.held
    part = config.cpus * 100 // config.max_concurrent_jobs
    return Taken(
        cpu_percent=part if unlimited else held.cpu_percent,
        memory_mb=held.memory_mb,
        disk_mb=disk_mb,
    )
