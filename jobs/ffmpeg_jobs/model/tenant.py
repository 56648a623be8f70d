"""What a tenant may have, and what it has."""

from __future__ import annotations

from dataclasses import dataclass

from ffmpeg_jobs.model.job import Queue


@dataclass(frozen=True)
class TenantLimits:
    """What the jobs of a tenant may have together, and one of them alone; None: no limit."""

    max_queued: int | None = None  #: jobs that wait; nothing more is accepted then
    max_running: int | None = None  #: jobs that workers hold; others wait
    max_cpu_percent: int | None = None  #: of these jobs together; 100 is one core
    max_timeout_sec: int | None = None  #: of one job, also where it asks for none
    queues: tuple[Queue, ...] | None = None  #: that it may submit to
    rate: int | None = None  #: jobs accepted a minute; so many at once after a minute of none


@dataclass(frozen=True)
class TenantStatus:
    """A tenant as the API shows it."""

    name: str
    queued: int  #: jobs that wait
    running: int  #: jobs that workers hold
    cpu_percent: int  #: of these, as max_cpu_percent counts
    limits: TenantLimits
