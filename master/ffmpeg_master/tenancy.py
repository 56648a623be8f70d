"""What the limits of a tenant say of a job (pure)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

from ffmpeg_jobs.model import DEFAULT_TIMEOUT_SECONDS, Job, Limits, Queue, TenantLimits
from ffmpeg_jobs.problems import TenantForbids, TenantFull
from ffmpeg_master.model import UNASKED_CPU_PERCENT, Needs

#: The span that a rate is told of; so much may come at once after as long a silence.
RATE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Held:
    """What workers hold of a tenant's jobs."""

    jobs: int = 0
    cpu_percent: int = 0  #: as they count; 100 is one core

    def with_job(self, asked: Needs) -> Held:
        """The same, and one more."""
        return Held(self.jobs + 1, self.cpu_percent + counts(asked.cpu_percent))

    def without(self, cpu_percent: int | None) -> Held:
        """The same without a job that asked for so much CPU."""
        return Held(self.jobs - 1, self.cpu_percent - counts(cpu_percent))


def counts(cpu_percent: int | None) -> int:
    """What a job that asked for so much CPU counts as; None: for none."""
    return cpu_percent or UNASKED_CPU_PERCENT


def holds_running(limits: TenantLimits) -> bool:
    """Whether they may hold jobs back in the queue."""
    return limits.max_running is not None or limits.max_cpu_percent is not None


def lets(limits: TenantLimits, held: Held, asked: Needs) -> bool:
    """Whether a job with these needs may run beside what the tenant's others hold."""
    then = held.with_job(asked)
    most_jobs, most_cpu = limits.max_running, limits.max_cpu_percent
    return (most_jobs is None or then.jobs <= most_jobs) and (
        most_cpu is None or then.cpu_percent <= most_cpu
    )


def may_start(limits: TenantLimits, held: Held, least_percent: int) -> int:
    """How many claims to wake when a job of the tenant left: as many as may take one now.

    ``least_percent``: none of its jobs that wait counts as less. Where only jobs are counted, the
    place that became free is one.
    """
    free = math.inf if limits.max_running is None else limits.max_running - held.jobs
    if limits.max_cpu_percent is None:
        return int(max(0, min(free, 1)))
    return int(max(0, min(free, (limits.max_cpu_percent - held.cpu_percent) // least_percent)))


def holds_back(tenant: str, limits: TenantLimits, held: Held, asked: Needs) -> str | None:
    """What a queued job waits for because of the limits, for people; None: nothing."""
    most_jobs, most_cpu, percent = limits.max_running, limits.max_cpu_percent, held.cpu_percent
    if most_jobs is not None and held.jobs >= most_jobs:
        return f"room: tenant {tenant} runs {held.jobs} of {most_jobs} jobs"
    asks = counts(asked.cpu_percent)
    if most_cpu is not None and percent + asks > most_cpu:
        used = f"tenant {tenant} uses {percent} % of {most_cpu} % CPU"
        return f"room: {used}, and this job asks {asks} %"
    return None


def fitted(tenant: str, limits: TenantLimits, job: Job, place: int | None = None) -> Job:
    """``job`` within the limits of one: what it does not ask is at most what it may have.

    ``place``: in its batch. Raises TenantForbids for what it asks.
    """
    batch = "" if place is None else f"jobs[{place}]."
    if limits.queues is not None and job.queue not in limits.queues:
        raise _forbidden_queue(tenant, limits.queues, f"{batch}queue", job.queue)
    within(tenant, limits, job.resource_limits, f"{batch}resource_limits.")
    asked, given = job.resource_limits, dict[str, Any]()
    if limits.max_cpu_percent is not None and asked.max_cpu_percent is None:
        # The kernel is to hold it to what it counts as.
        given["max_cpu_percent"] = min(UNASKED_CPU_PERCENT, limits.max_cpu_percent)
    if limits.max_timeout_sec is not None and asked.timeout_sec is None:
        given["timeout_sec"] = min(DEFAULT_TIMEOUT_SECONDS, limits.max_timeout_sec)
    return replace(job, resource_limits=replace(asked, **given)) if given else job


def _forbidden_queue(
    tenant: str, allowed: tuple[Queue, ...], field: str, queue: Queue
) -> TenantForbids:
    words = ", ".join(one.value for one in allowed)
    return TenantForbids.of(tenant, field, queue.value, words)


def within(tenant: str, limits: TenantLimits, asked: Limits, prefix: str = "") -> None:
    """Raises TenantForbids if one job asks more than the tenant may have."""
    for name, value, most in (
        ("timeout_sec", asked.timeout_sec, limits.max_timeout_sec),
        ("max_cpu_percent", asked.max_cpu_percent, limits.max_cpu_percent),
    ):
        if most is not None and value is not None and value > most:
            raise TenantForbids.of(tenant, prefix + name, value, f"at most {most}")


def check_grows(
    tenant: str, most: int, others: Held, before: int | None, wanted: int | None
) -> None:
    """Raises TenantFull if a running job is to get more CPU than ``others`` leave of ``most``."""
    asks, used = counts(wanted), others.cpu_percent
    if asks > counts(before) and used + asks > most:
        raise TenantFull(
            f"max_cpu_percent: {asks} is not possible now; the other running jobs of the tenant "
            f"{tenant} have {used} % of {most} % CPU",
            tenant=tenant,
            limit="max_cpu_percent",
            cpu_percent=used,
            allowed=most,
        )


def check_queued(tenant: str, limits: TenantLimits, queued: int, more: int) -> None:
    """Raises TenantFull if ``more`` jobs are too many beside those that wait."""
    most = limits.max_queued
    if most is not None and queued + more > most:
        jobs = "a job more is" if more == 1 else f"{more} jobs more are"
        raise TenantFull(
            f"tenant {tenant} has {queued} of {most} jobs in the queue; {jobs} too many",
            tenant=tenant,
            limit="max_queued",
            queued=queued,
            allowed=most,
        )


def paid(tenant: str, rate: int, paid_until: float, now: float, more: int) -> float:
    """Until when the tenant has used its rate up, once ``more`` jobs are accepted at ``now``.

    Each job takes the 60 s divided by the rate, and nobody is ahead by more than 60 s: the generic
    cell rate algorithm (ITU-T I.371, annex A). All in Unix seconds. Raises TenantForbids for more
    than ever fit, TenantFull with the seconds to wait.
    """
    if more > rate:
        raise TenantForbids.of(tenant, "jobs", more, f"at most {rate}, its rate a minute")
    # A clock that was set back must not make it wait for longer than it ever does.
    begun = min(max(paid_until, now), now + RATE_SECONDS)
    until = begun + more * RATE_SECONDS / rate
    wait_seconds = math.ceil(until - now - RATE_SECONDS - 1e-6)
    if wait_seconds > 0:
        raise TenantFull(
            f"tenant {tenant} may submit {rate} jobs a minute; try again in {wait_seconds} s",
            retry_after_seconds=wait_seconds,
            tenant=tenant,
            limit="rate",
            allowed=rate,
        )
    return until
