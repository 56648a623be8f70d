"""What a claim gets, one job after the other, of what its transaction sees."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ffmpeg_jobs.model import TenantLimits
from ffmpeg_master import scheduling, tenancy
from ffmpeg_master.config import Config
from ffmpeg_master.model import Member, Waiting
from ffmpeg_master.store import tenants, workers
from ffmpeg_master.store.claims import Choices
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.waiting import Lines
from ffmpeg_master.tenancy import Held


@dataclass(frozen=True)
class _Taken:
    """What the worker runs, and what the jobs of each submitter and tenant hold, as far as a claim
    has come."""

    worker: Member
    held: Mapping[str, int]  #: CPU percent, by submitter
    limits: Mapping[str, TenantLimits] = field(default_factory=dict)  #: of tenants
    tenants: Mapping[str, Held] = field(default_factory=dict)  #: of those with limits

    def with_job(self, job: Waiting) -> _Taken:
        worker = replace(self.worker, running=(*self.worker.running, job.needs))
        more = tenancy.counts(job.needs.cpu_percent)
        held = {**self.held, job.submitter: self.held.get(job.submitter, 0) + more}
        mine = {**self.tenants}
        if job.tenant in mine:
            mine[job.tenant] = mine[job.tenant].with_job(job.needs)
        return replace(self, worker=worker, held=held, tenants=mine)

    def lets(self, job: Waiting) -> bool:
        """Whether it is for this worker, and within what its tenant may have."""
        if self.worker.serves not in (None, job.tenant):
            return False
        limits = self.limits.get(job.tenant)
        return limits is None or tenancy.lets(limits, self.tenants[job.tenant], job.needs)


def choices(store: Store, config: Config, name: str, most: int) -> Choices:
    """The jobs that suit the worker, most urgent first, beside what it runs; ``most`` in all.

    Raises NotFound.
    """
    lines = Lines(store)
    # One alone has nobody to share with.
    held = workers.held(store) if len(lines.submitters) > 1 else {}
    taken = _Taken(workers.member(store, name, config.lease_seconds), held)
    taken = _within(store, taken, lines.limits)

    def others() -> list[Member]:
        fleet = workers.fleet(store, config.lease_seconds)
        return [member for member in fleet if member.name != name]

    offered: set[str] = set()

    def choose(taken: _Taken) -> Waiting | None:
        order = scheduling.Order(
            lines.now,
            config.aging_seconds,
            taken.held,
            dict(config.fair_share),
            random.randrange(scheduling.OLDEST_FIRST_EVERY) == 0,  # noqa: S311 - nothing is secret
        )
        waiting = lines.by(
            scheduling.urgency(order), lambda job: job.job_id in offered or taken.lets(job)
        )
        untried = (job for job in waiting if job.job_id not in offered)
        return scheduling.choose(untried, taken.worker, others, order)

    tenants_held = False
    while most > 0:
        chosen: list[Waiting] = []
        hoped = taken
        while len(chosen) < most and (job := choose(hoped)) is not None:
            offered.add(job.job_id)
            chosen.append(job)
            hoped = hoped.with_job(job)
        if not chosen:
            return
        if not tenants_held and any(job.tenant in taken.limits for job in chosen):
            # Until here others might take the same places; who finds none, holds up nobody.
            with store.write() as connection:
                limits = tenants.hold(connection, taken.limits)
            taken, tenants_held = _within(store, taken, limits), True
            offered.difference_update(job.job_id for job in chosen)
            continue
        got = yield [job.job_id for job in chosen]
        for job in chosen:
            if job.job_id in got:
                taken = taken.with_job(job)
        most -= len(got)


def _within(store: Store, taken: _Taken, limits: Mapping[str, TenantLimits]) -> _Taken:
    """``taken``, with what the tenants that have limits hold at this moment."""
    if not limits:
        return replace(taken, limits=limits, tenants={})
    with store.read() as connection:
        return replace(taken, limits=limits, tenants=tenants.held(connection, limits))
