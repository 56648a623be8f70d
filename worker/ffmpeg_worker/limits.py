"""One table of limits: systemd's property, and what the kernel must then say in the cgroup.

Sources: systemd.resource-control(5), org.freedesktop.systemd1(5), and the kernel's
Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

#: The job id as the contract has it; the unit's name is made of nothing else.
JOB_ID: Final = re.compile(r"[a-z2-7]{12}\Z")
#: Told along with a job's limits: 1, if it has the machine's network and not one of its own. The
#: launcher then holds it to its policy.
NETWORK: Final = "network"
UNIT_PATTERN: Final = "ffmpeg-job-*.scope"
#: Threads and processes of one job: ffmpeg with every codec threaded stays under 300.
TASKS_MAX: Final = 1024
#: systemd's default CPUQuotaPeriodSec, in microseconds.
CPU_PERIOD_USEC: Final = 100_000
MIB: Final = 1 << 20


@dataclass(frozen=True)
class HeldLimits:
    """What one scope is held to, with every default filled in."""

    cpu_percent: int  #: 100 is one core
    memory_mb: int  #: MiB
    timeout_seconds: int
    tasks: int = TASKS_MAX


@dataclass(frozen=True)
class Limit:
    """One row: a limit's name, the unit properties that set it, the files that prove it."""

    name: str
    properties: Callable[[int], tuple[tuple[str, str, object], ...]]  #: (name, signature, value)
    controller: str | None  #: cgroup controller that enforces it; None: systemd itself
    files: Callable[[int], Mapping[str, str]]  #: file in the cgroup: its expected content
    live: bool = True  #: False: SetUnitProperties refuses it on a running scope


LIMITS: Final = (
    Limit(
        "cpu_percent",
        lambda percent: (("CPUQuotaPerSecUSec", "t", percent * 10_000),),
        "cpu",
        lambda percent: {"cpu.max": f"{percent * CPU_PERIOD_USEC // 100} {CPU_PERIOD_USEC}"},
    ),
    Limit(
        "memory_mb",
        lambda mib: (("MemoryMax", "t", mib * MIB), ("MemorySwapMax", "t", 0)),
        "memory",
        lambda mib: {"memory.max": str(mib * MIB)},
    ),
    Limit(
        "tasks",
        lambda tasks: (("TasksMax", "t", tasks),),
        "pids",
        lambda tasks: {"pids.max": str(tasks)},
    ),
    Limit(
        "timeout_seconds",
        lambda seconds: (("RuntimeMaxUSec", "t", seconds * 1_000_000),),
        None,
        lambda seconds: {},
        live=False,
    ),
)

#: The controllers without which a limit is only a wish.
CONTROLLERS: Final = tuple(row.controller for row in LIMITS if row.controller)


def unit_name(job_id: str) -> str:
    """``ffmpeg-job-<id>.scope``; raises ValueError for anything that is not a job id."""
    if not JOB_ID.match(job_id):
        raise ValueError(f"{job_id!r} is not a job id")
    return f"ffmpeg-job-{job_id}.scope"


def job_id_of(unit: str) -> str | None:
    """The job id in a scope's name, or None for a unit that is not ours."""
    job_id = unit.removeprefix("ffmpeg-job-").removesuffix(".scope")
    return job_id if JOB_ID.match(job_id) and unit == unit_name(job_id) else None


def properties_of(values: Mapping[str, int], *, live: bool) -> list[tuple[str, str, object]]:
    """Unit properties (name, D-Bus signature, value) of the limits in ``values``.

    ``live``: for a scope that runs. Raises ValueError for a limit that is unknown, not
    positive, or that cannot change on a running scope.
    """
    rows = {row.name: row for row in LIMITS}
    properties: list[tuple[str, str, object]] = []
    for name, value in values.items():
        row = rows.get(name)
        if row is None:
            raise ValueError(f"{name}: unknown limit; known are {', '.join(rows)}")
        if live and not row.live:
            raise ValueError(f"{name}: cannot change while the job runs")
        if not 0 < value < 1 << 42:
            raise ValueError(f"{name}: {value} is not a positive number")
        properties.extend(row.properties(value))
    return properties


def expected_files(held: HeldLimits) -> dict[str, str]:
    """What the kernel must say in the scope's cgroup: file name to content."""
    files: dict[str, str] = {}
    for row in LIMITS:
        files.update(row.files(getattr(held, row.name)))
    return files


def unenforced(held: HeldLimits, found: Mapping[str, str | None]) -> list[str]:
    """The files whose content is not what the limits ask; ``found`` maps name to content.

    CPU time is rounded by the kernel to whole microseconds, so content is compared exactly.
    """
    return [name for name, wanted in expected_files(held).items() if found.get(name) != wanted]
