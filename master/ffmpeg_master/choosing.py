"""What a claim gets, one job after the other, of what its transaction sees."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Generator
from dataclasses import replace

from ffmpeg_master import scheduling
from ffmpeg_master.config import Config
from ffmpeg_master.model import Member
from ffmpeg_master.store import workers
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.waiting import Lines


def choices(store: Store, config: Config, name: str) -> Generator[str, bool, None]:
    """The ids of the jobs that suit the worker, most urgent first, beside what it runs.

    Is sent of each whether the worker got it. Raises NotFound.
    """
    worker = workers.member(store, name, config.lease_seconds)
    lines = Lines(store)
    held: Counter[str] = Counter()
    if len(lines.submitters) > 1:  # one alone has nobody to share with
        held.update(workers.held(store))
    offered: set[str] = set()

    def others() -> list[Member]:
        fleet = workers.fleet(store, config.lease_seconds)
        return [member for member in fleet if member.name != name]

    while True:
        order = scheduling.Order(
            lines.now,
            config.aging_seconds,
            held,
            dict(config.fair_share),
            random.randrange(scheduling.OLDEST_FIRST_EVERY) == 0,  # noqa: S311 - nothing is secret
        )
        waiting = lines.by(scheduling.urgency(order))
        untried = (job for job in waiting if job.job_id not in offered)
        chosen = scheduling.choose(untried, worker, others, order)
        if chosen is None:
            return
        offered.add(chosen.job_id)
        if (yield chosen.job_id):
            worker = replace(worker, running=(*worker.running, chosen.needs))
            held[chosen.submitter] += chosen.needs.cpu_percent or workers.UNASKED_CPU_PERCENT
