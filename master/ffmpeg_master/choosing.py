"""What a claim gets, one job after the other, of what its transaction sees."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ffmpeg_jobs.model import TenantLimits
from ffmpeg_master import scheduling, tenancy
from ffmpeg_master.config import Config
from ffmpeg_master.model import ANY_ROOM, Left, Member, Room, Waiting
from ffmpeg_master.scheduling import Choice
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
        places = None if self.worker.places is None else self.worker.places - 1
        running = (*self.worker.running, job.needs)
        worker = replace(self.worker, running=running, places=places)
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


def choices(store: Store, config: Config, name: str, most: int, room: Room = ANY_ROOM) -> Choices:
    """The jobs that suit the worker, most urgent first, beside what it runs; ``most`` in all.

    Returns what waits beside them. Raises NotFound.
    """
    lines = Lines(store)
    # One alone has nobody to share with.
    held = workers.held(store) if len(lines.submitters) > 1 else {}
    taken = _Taken(workers.member(store, name, config.lease_seconds, room), held)
    taken = _within(store, taken, lines.limits)

    def others() -> list[Member]:
        fleet = workers.fleet(store, config.lease_seconds)
        return [member for member in fleet if member.name != name]

    offered: set[str] = set()

    def choose(taken: _Taken) -> Choice:
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
        while len(chosen) < most:
            choice = choose(hoped)
            if choice.job is None:
                break
            offered.add(choice.job.job_id)
            chosen.append(choice.job)
            hoped = hoped.with_job(choice.job)
        if not chosen:
            return Left.FOR_OTHERS if choice.for_others else lines.left
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
    return lines.left


def _within(store: Store, taken: _Taken, limits: Mapping[str, TenantLimits]) -> _Taken:
    """``taken``, with what the tenants that have limits hold at this moment."""
    if not limits:
        return replace(taken, limits=limits, tenants={})
    with store.read() as connection:
        return replace(taken, limits=limits, tenants=tenants.held(connection, limits))
