"""How many jobs a machine takes at once, by the rules of the operations guide. Pure.

Three questions, one line each: how many jobs have the cores, the memory and the disk room for?
The smallest answer counts, and a small machine still takes one job.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

#: The guide: how much of the cores jobs may keep busy, by what they wait for.
PERCENT_OF_CORES: Final = {"cpu": 75, "mixed": 85, "io": 100}
#: As MemoryMax of ffmpeg.slice: the rest is the system's.
PERCENT_OF_MEMORY: Final = 90
#: The guide: bitrate x duration x 2 for safety, and half as much again.
DISK_SAFETY: Final = 2
DISK_BUFFER: Final = 1.5
UNITS: Final = {"cpu": "%", "memory": "MB", "disk": "MB"}


@dataclass(frozen=True)
class Resources:
    """What the machine has; the disk is that of the state directory."""

    cpus: int
    memory_mb: int
    disk_mb: int  #: free for jobs, with what jobs hold already


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

    resource: str  #: cpu, memory or disk
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


def share(has: Resources, rules: Rules) -> Share:
    """What jobs may have of a machine. Its CPU is all cores: ffmpeg.slice has a low weight, no
    quota, so that jobs use what nobody else wants."""
    return Share(
        rules.jobs_cpu_percent or has.cpus * 100,
        rules.jobs_memory_mb or has.memory_mb * PERCENT_OF_MEMORY // 100,
        rules.jobs_disk_mb or has.disk_mb,
    )


def capacity(has: Resources, rules: Rules) -> Capacity:
    """How many jobs the machine takes at once, and how that was found."""
    lines = (_cpu(has, rules), _memory(has, rules), _disk(has, rules))
    least = min(lines, key=lambda line: line.jobs)
    return Capacity(lines, least.resource, max(1, least.jobs))


def _cpu(has: Resources, rules: Rules) -> Line:
    percent = PERCENT_OF_CORES[rules.workload]
    whole = share(has, rules).cpu_percent
    source = "jobs_cpu_percent" if rules.jobs_cpu_percent else f"{has.cpus} cores"
    words = f"{source} = {whole} %, x {percent} % (workload {rules.workload})"
    return _line("cpu", words, whole * percent // 100, rules.cpu_percent_per_job)


def _memory(has: Resources, rules: Rules) -> Line:
    words = (
        "jobs_memory_mb"
        if rules.jobs_memory_mb
        else f"{has.memory_mb} MB x {PERCENT_OF_MEMORY} % (the rest is the system's)"
    )
    return _line("memory", words, share(has, rules).memory_mb, rules.memory_mb_per_job)


def _disk(has: Resources, rules: Rules) -> Line:
    words = "jobs_disk_mb" if rules.jobs_disk_mb else "free for jobs"
    available = share(has, rules).disk_mb
    if rules.disk_mb_per_job:
        return _line("disk", words, available, rules.disk_mb_per_job)
    rate, seconds = rules.bitrate_mbps, rules.duration_sec
    line = _line("disk", words, available, round(rate * seconds * DISK_SAFETY * DISK_BUFFER))
    how = f" ({rate} Mbit/s x {seconds} s x {DISK_SAFETY} x {DISK_BUFFER})"
    return replace(line, calculation=line.calculation + how)


def _line(resource: str, words: str, available: int, per_job: int) -> Line:
    unit, jobs = UNITS[resource], available // per_job
    calculation = f"{words} = {available} {unit}, at {per_job} {unit} per job: {jobs}"
    return Line(resource, available, per_job, unit, jobs, calculation)
