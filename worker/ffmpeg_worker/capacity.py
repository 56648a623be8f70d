"""How many jobs a machine takes at once, by the rules of the operations guide. Pure.

Three questions, one line each: how many jobs have the cores, the memory and the disk room for?
The smallest answer counts, and a small machine still takes one job. Where nobody keeps jobs from
each other, it is never more than one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

#: The guide: how much of the cores jobs may keep busy, by what they wait for.
PERCENT_OF_CORES: Final = {"cpu": 75, "mixed": 85, "io": 100}
#: As MemoryHigh of ffmpeg.slice, over which the kernel slows jobs down: the rest is the system's.
PERCENT_OF_MEMORY: Final = 85
#: The guide: bitrate x duration x 2 for safety, and half as much again.
DISK_SAFETY: Final = 2
DISK_BUFFER: Final = 1.5
UNITS: Final = {"cpu": "%", "memory": "MB", "disk": "MB"}


@dataclass(frozen=True)
class Caps:
    """What an operator holds all jobs together to, in their cgroup. None: nothing."""

    cgroup: str  #: its name, such as ffmpeg.slice
    cpu_percent: int | None = None
    memory_mb: int | None = None
    memory_by: str = "MemoryMax"  #: or MemoryHigh, if that is less


@dataclass(frozen=True)
class Resources:
    """What the machine has; the disk is that of the state directory."""

    cpus: int
    memory_mb: int
    disk_mb: int  #: free for jobs, with what jobs hold already
    caps: Caps = Caps("ffmpeg.slice")


@dataclass(frozen=True)
class Rules:
    """The table [capacity] of worker.toml. None: as the machine has it."""

    workload: str = "cpu"
    cpu_percent_per_job: int = 100
    memory_mb_per_job: int = 2048
    bitrate_mbps: int = 4
    duration_sec: int = 300
    disk_mb_per_job: int | None = None
    jobs_cpu_percent: int | None = None
    jobs_memory_mb: int | None = None
    jobs_disk_mb: int | None = None


@dataclass(frozen=True)
class Share:
    """What all jobs together may have: the machine without what is kept for the system."""

    cpu_percent: int
    memory_mb: int
    disk_mb: int


@dataclass(frozen=True)
class Line:
    """One line of the calculation."""

    resource: str  #: cpu, memory, disk or manager
    available: int
    per_job: int
    unit: str
    jobs: int
    calculation: str


@dataclass(frozen=True)
class Capacity:
    """The whole calculation and its result."""

    lines: tuple[Line, ...]
    limited_by: str
    max_concurrent_jobs: int


@dataclass(frozen=True)
class _Part:
    """An amount for all jobs together, and where it comes from."""

    amount: int
    source: str


#: What there is to calculate without a manager.
_ALONE: Final = (Line("manager", 1, 1, "", 1, "nobody keeps jobs from each other: 1"),)


def share(has: Resources, rules: Rules) -> Share:
    """What jobs may have of a machine. Its CPU is all cores: ffmpeg.slice has a low weight, no
    quota, so that jobs use what nobody else wants."""
    return Share(*(found(has, rules).amount for found in (_cpu_share, _memory_share, _disk_share)))


def capacity(has: Resources, rules: Rules, *, alone: bool = False) -> Capacity:
    """How many jobs the machine takes at once, and how that was found. ``alone``: its manager
    is "none"."""
    lines = (_cpu(has, rules), _memory(has, rules), _disk(has, rules), *(_ALONE if alone else ()))
    least = min(lines, key=lambda line: line.jobs)
    return Capacity(lines, least.resource, max(1, least.jobs))


def _least(*parts: _Part) -> _Part:
    return min(parts, key=lambda part: part.amount)


def _cpu_share(has: Resources, rules: Rules) -> _Part:
    part = _Part(has.cpus * 100, f"{has.cpus} cores")
    if rules.jobs_cpu_percent:
        part = _Part(rules.jobs_cpu_percent, "jobs_cpu_percent")
    if has.caps.cpu_percent is None:
        return part
    return _least(part, _Part(has.caps.cpu_percent, f"CPUQuota of {has.caps.cgroup}"))


def _memory_share(has: Resources, rules: Rules) -> _Part:
    words = f"{has.memory_mb} MB x {PERCENT_OF_MEMORY} % (the rest is the system's)"
    part = _Part(has.memory_mb * PERCENT_OF_MEMORY // 100, words)
    if rules.jobs_memory_mb:
        part = _least(
            _Part(rules.jobs_memory_mb, "jobs_memory_mb"),
            _Part(has.memory_mb, "all there is, less than jobs_memory_mb"),
        )
    if has.caps.memory_mb is None:
        return part
    return _least(part, _Part(has.caps.memory_mb, f"{has.caps.memory_by} of {has.caps.cgroup}"))


def _disk_share(has: Resources, rules: Rules) -> _Part:
    if not rules.jobs_disk_mb:
        return _Part(has.disk_mb, "free for jobs")
    return _least(
        _Part(rules.jobs_disk_mb, "jobs_disk_mb"),
        _Part(has.disk_mb, "free for jobs, less than jobs_disk_mb"),
    )


def _cpu(has: Resources, rules: Rules) -> Line:
    percent = PERCENT_OF_CORES[rules.workload]
    part = _cpu_share(has, rules)
    words = f"{part.source} = {part.amount} %, x {percent} % (workload {rules.workload})"
    return _line("cpu", _Part(part.amount * percent // 100, words), rules.cpu_percent_per_job)


def _memory(has: Resources, rules: Rules) -> Line:
    return _line("memory", _memory_share(has, rules), rules.memory_mb_per_job)


def _disk(has: Resources, rules: Rules) -> Line:
    part = _disk_share(has, rules)
    if rules.disk_mb_per_job:
        return _line("disk", part, rules.disk_mb_per_job)
    rate, seconds = rules.bitrate_mbps, rules.duration_sec
    line = _line("disk", part, round(rate * seconds * DISK_SAFETY * DISK_BUFFER))
    how = f" ({rate} Mbit/s x {seconds} s x {DISK_SAFETY} x {DISK_BUFFER})"
    return replace(line, calculation=line.calculation + how)


def _line(resource: str, part: _Part, per_job: int) -> Line:
    unit, jobs = UNITS[resource], part.amount // per_job
    calculation = f"{part.source} = {part.amount} {unit}, at {per_job} {unit} per job: {jobs}"
    return Line(resource, part.amount, per_job, unit, jobs, calculation)
