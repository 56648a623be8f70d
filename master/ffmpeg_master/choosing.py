"""What a claim gets, one job after the other, of what its transaction sees."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ffmpeg_master import scheduling
from ffmpeg_master.config import Config
from ffmpeg_master.model import ANY_ROOM, Left, Member, Room, Waiting
from ffmpeg_master.scheduling import Choice
from ffmpeg_master.store import workers
from ffmpeg_master.store.claims import Choices
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.waiting import Lines


@dataclass(frozen=True)
class _Taken:
    """What the worker runs and what each submitter's jobs hold, as far as a claim has come."""

    worker: Member
    held: Mapping[str, int]  #: CPU percent

    def with_job(self, job: Waiting) -> _Taken:
        places = None if self.worker.places is None else self.worker.places - 1
        running = (*self.worker.running, job.needs)
        worker = replace(self.worker, running=running, places=places)
        more = job.needs.cpu_percent or workers.UNASKED_CPU_PERCENT
        return _Taken(worker, {**self.held, job.submitter: self.held.get(job.submitter, 0) + more})


def choices(store: Store, config: Config, name: str, most: int, room: Room = ANY_ROOM) -> Choices:
    """The jobs that suit the worker, most urgent first, beside what it runs; ``most`` in all.

    Returns what waits beside them. Raises NotFound.
    """
    lines = Lines(store)
    # One alone has nobody to share with.
    held = workers.held(store) if len(lines.submitters) > 1 else {}
    taken = _Taken(workers.member(store, name, config.lease_seconds, room), held)

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
        waiting = lines.by(scheduling.urgency(order))
        untried = (job for job in waiting if job.job_id not in offered)
        return scheduling.choose(untried, taken.worker, others, order)

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
        got = yield [job.job_id for job in chosen]
        for job in chosen:
            if job.job_id in got:
                taken = taken.with_job(job)
        most -= len(got)
    return lines.left
