"""May this machine take one more job? Yes, or the reason why not. Pure.

``HOLDS`` are reasons that the master is told. ``FULL`` are none of those: room comes with the end
of a job, and then the worker asks. Each is read from the top; the first that holds is the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ffmpeg_jobs.model import Free
from ffmpeg_worker.capacity import Share

#: Pressure that held the machine back must fall below this part of its threshold to let go.
RELEASE_PERCENT: Final = 80


@dataclass(frozen=True)
class Thresholds:
    """The table [pressure] of worker.toml: percent of the time ("some avg10") that some job
    waited for the resource. 100 is never exceeded."""

    cpu: int = 100
    memory: int = 20
    io: int = 80


@dataclass(frozen=True)
class Taken:
    """What a job that runs may use, by its limits."""

    cpu_percent: int
    memory_mb: int
    disk_mb: int  #: that it may still write on the state directory's volume


@dataclass(frozen=True)
class Volume:
    """The volume of the state directory, where every job has its directory."""

    directory: str
    free_percent: float
    least_free_percent: float


@dataclass(frozen=True)
class Vitals:
    """How the machine is."""

    free: Free
    share: Share
    volume: Volume
    pressure: Mapping[str, float | None]  #: cpu, memory and io; None: the kernel does not say
    thresholds: Thresholds
    pressed: frozenset[str]  #: what is over its threshold, or was and did not fall enough
    faults: tuple[str, ...] = ()  #: a sentence for each folder that cannot be used


def free(share: Share, slots: int, held: int, taken: Iterable[Taken]) -> Free:
    """What is left of the share; ``held`` of the slots are in use. Never less than nothing: more
    may have been promised than there is."""
    rows = list(taken)
    return Free(
        cpu_percent=max(0, share.cpu_percent - sum(row.cpu_percent for row in rows)),
        memory_mb=max(0, share.memory_mb - sum(row.memory_mb for row in rows)),
        disk_mb=max(0, share.disk_mb - sum(row.disk_mb for row in rows)),
        slots=max(0, slots - held),
    )


def pressed(
    pressure: Mapping[str, float | None], thresholds: Thresholds, before: frozenset[str]
) -> frozenset[str]:
    """What is over its threshold; ``before`` was, and has to fall further to be let go."""
    return frozenset(
        name
        for name, percent in pressure.items()
        if percent is not None and percent > _bound(name, thresholds, before)
    )


def held_back(vitals: Vitals) -> str | None:
    """Why the machine takes no new job, whatever runs there; None: it does."""
    return _first(HOLDS, vitals)


def full(vitals: Vitals) -> str | None:
    """Why there is no room beside what runs, if there were a free slot; None: there is."""
    return _first(FULL, vitals)


def _first(rules: Iterable[Callable[[Vitals], str | None]], vitals: Vitals) -> str | None:
    return next((said for rule in rules if (said := rule(vitals)) is not None), None)


def _bound(name: str, thresholds: Thresholds, before: frozenset[str]) -> float:
    threshold: int = getattr(thresholds, name)
    return threshold * (RELEASE_PERCENT / 100 if name in before else 1.0)


def no_slot(slots: int) -> str:
    """Why there is no room where all slots are taken."""
    return f"{slots} of {slots} jobs run (max_concurrent_jobs)"


def _no_folder(vitals: Vitals) -> str | None:
    return "; ".join(vitals.faults) or None


def _low_disk(vitals: Vitals) -> str | None:
    volume = vitals.volume
    if volume.free_percent >= volume.least_free_percent:
        return None
    return (
        f"the volume of {volume.directory} has {volume.free_percent:.1f} % free; "
        f"{volume.least_free_percent:.0f} % are needed"
    )


def _no_disk(vitals: Vitals) -> str | None:
    if vitals.free.disk_mb:
        return None
    return f"the jobs that run may fill the volume of {vitals.volume.directory} (max_disk_mb)"


def _no_memory(vitals: Vitals) -> str | None:
    if vitals.free.memory_mb:
        return None
    return f"the jobs that run may use all {vitals.share.memory_mb} MB of memory for jobs"


def _under_pressure(vitals: Vitals) -> str | None:
    name = min(vitals.pressed, default=None)
    if name is None:
        return None
    bound = _bound(name, vitals.thresholds, vitals.pressed)
    return (
        f"{name} pressure is {vitals.pressure[name]:.0f} % (some avg10); new jobs wait until it "
        f"is below {bound:.0f} %"
    )


HOLDS: Final[tuple[Callable[[Vitals], str | None], ...]] = (
    _no_folder,
    _low_disk,
    _under_pressure,
)
FULL: Final[tuple[Callable[[Vitals], str | None], ...]] = (_no_disk, _no_memory)
