"""A day of mixed jobs on a small farm: who waits how long, beside plain first come, first served.

Simulated time, the master's own choosing. Encodes come and go as over a day; one customer's
script submits its whole archive at nine o'clock. First come, first served gives each job in its
turn to the first worker that has room, and nobody goes past the first in line.
"""

import argparse
import heapq
import random
import statistics
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import count
from math import cos, pi
from typing import Final

from bench import table
from ffmpeg_jobs.model import Job, Limits, Machine, Parameters, Priority, Queue
from ffmpeg_master import scheduling
from ffmpeg_master.model import Member, Waiting

DAY_SECONDS: Final = 86400.0
#: Jobs an hour over the day, at its mean.
CLASSES: Final = {
    "live": (12, 900, Job(queue=Queue.LIVE, resource_limits=Limits(400, 4096, 1000))),
    "ordinary": (150, 420, Job(resource_limits=Limits(200, 2048, 4000))),
    "urgent": (12, 420, Job(priority=Priority.HIGH, resource_limits=Limits(200, 2048, 4000))),
    "big": (3, 3600, Job(resource_limits=Limits(800, 12000, 60000))),
    "device": (
        30,
        120,
        Job(parameters=Parameters(encoder="h264_nvenc"), resource_limits=Limits(100, 2048, 4000)),
    ),
}
ARCHIVE: Final = Job(queue=Queue.BATCH, resource_limits=Limits(200, 2048, 4000))
ARCHIVE_JOBS: Final = 300

Pick = Callable[["Farm", Member, float], Waiting | None]


@dataclass(frozen=True)
class Arrival:
    """A job that comes at ``at`` seconds and runs for ``seconds``."""

    at: float
    kind: str
    seconds: float
    waiting: Waiting


class Farm:
    """Who runs what, and who waits."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = {member.name: member for member in members}
        self.lines: dict[str, deque[Waiting]] = defaultdict(deque)
        self.held: dict[str, int] = defaultdict(int)

    def queue(self, job: Waiting) -> None:
        """It waits from now on."""
        self.lines[scheduling.line(job.rank, job.submitter, job.needs)].append(job)

    def start(self, job: Waiting, name: str) -> None:
        """It runs on that worker."""
        self.lines[scheduling.line(job.rank, job.submitter, job.needs)].remove(job)
        member = self.members[name]
        self.members[name] = replace(member, running=(*member.running, job.needs))
        self.held[job.submitter] += job.needs.cpu_percent or 0

    def end(self, job: Waiting, name: str) -> None:
        """It ended there."""
        running = list(self.members[name].running)
        running.remove(job.needs)
        self.members[name] = replace(self.members[name], running=tuple(running))
        self.held[job.submitter] -= job.needs.cpu_percent or 0


def ours(farm: Farm, member: Member, now: float) -> Waiting | None:
    """As the master chooses."""
    order = scheduling.Order(now, held=farm.held, oldest_first=random.randrange(16) == 0)
    waiting = merge(*farm.lines.values(), key=scheduling.urgency(order))

    def others() -> list[Member]:
        return [other for other in farm.members.values() if other.name != member.name]

    return scheduling.choose(waiting, member, others, order).job


def first_come(farm: Farm, member: Member, now: float) -> Waiting | None:
    """The one that came first, if it has room here."""
    heads = [line[0] for line in farm.lines.values() if line]
    first = min(heads, key=lambda job: job.number, default=None)
    full = len(member.running) >= member.machine.max_concurrent_jobs
    if first is None or full or not scheduling.fits(first.needs, member.machine):
        return None
    return first if scheduling.has_room(first.needs, member) else None


def a_day(chance: random.Random) -> list[Arrival]:
    """What comes, in its order."""
    found: list[tuple[float, str, float, Job, str]] = []
    for kind, (an_hour, seconds, job) in CLASSES.items():
        at = 0.0
        while (at := at + chance.expovariate(an_hour * 1.6 / 3600)) < DAY_SECONDS:
            # Least at four in the morning, most at four in the afternoon.
            if chance.random() * 1.6 < 1 - 0.6 * cos(2 * pi * (at / DAY_SECONDS - 1 / 6)):
                found.append((at, kind, seconds * chance.uniform(0.5, 1.5), job, "studio"))
    nine = 9 * 3600.0
    found += [(nine + i, "archive", 600.0, ARCHIVE, "archive") for i in range(ARCHIVE_JOBS)]
    return [
        Arrival(at, kind, seconds, _waiting(number, at, job, by))
        for number, (at, kind, seconds, job, by) in enumerate(sorted(found, key=lambda row: row[0]))
    ]


def _waiting(number: int, at: float, job: Job, by: str) -> Waiting:
    live, rank = job.queue is Queue.LIVE, scheduling.rank(job)
    return Waiting(str(number), scheduling.needs(job), None, live, rank, at, by, number)


def run(
    arrivals: Sequence[Arrival], members: Sequence[Member], pick: Pick
) -> dict[str, list[float]]:
    """The seconds that each kind of job waited, and what part of the CPU was promised."""
    farm, waits, tie = Farm(members), defaultdict(list), count()
    jobs = {arrival.waiting.job_id: arrival for arrival in arrivals}
    events: list[tuple[float, int, Arrival, str | None]] = [
        (arrival.at, next(tie), arrival, None) for arrival in arrivals
    ]
    heapq.heapify(events)
    promised = 0.0
    while events:
        now, _, arrival, ended_on = heapq.heappop(events)
        if ended_on is None:
            farm.queue(arrival.waiting)
        else:
            farm.end(arrival.waiting, ended_on)
        names = list(farm.members) if ended_on is None else [ended_on]
        for name in names:
            while (job := pick(farm, farm.members[name], now)) is not None:
                farm.start(job, name)
                one = jobs[job.job_id]
                waits[one.kind].append(now - one.at)
                cpu = (job.needs.cpu_percent or 0) / 100
                promised += cpu * max(0.0, min(DAY_SECONDS, now + one.seconds) - now)
                heapq.heappush(events, (now + one.seconds, next(tie), one, name))
    cores = sum(member.machine.cpus for member in members)
    return {**waits, "": [promised / (cores * DAY_SECONDS)]}


def farm_of(workers: int) -> list[Member]:
    """Eight cores each; every fourth has a device."""
    plain = Machine(8, 32000, 500000, 8, enforced=("cpu", "memory", "pids"))
    device = replace(plain, encoders=("h264_nvenc",))
    machines = [device if number % 4 == 0 else plain for number in range(workers)]
    return [Member(f"w{i}", machine, True, False) for i, machine in enumerate(machines)]


def main() -> None:
    """Simulate and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--workers", type=int, default=12)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    arrivals, members = a_day(random.Random(asked.seed)), farm_of(asked.workers)
    random.seed(asked.seed)
    found, plain = run(arrivals, members, ours), run(arrivals, members, first_come)
    rows = [
        (kind, len(found[kind]), *_figures(found[kind]), *_figures(plain[kind]))
        for kind in (*CLASSES, "archive")
    ]
    head = ("jobs of", "how many", "median s", "95 %, s", "most, s")
    table.show(
        f"A day on {asked.workers} workers: waits as the master chooses, and by first come only",
        (*head, "fcfs median", "fcfs 95 %", "fcfs most"),
        rows,
    )
    ours_part, plain_part = found[""][0], plain[""][0]
    print(f"CPU promised over the day: {ours_part:.0%}; by first come only: {plain_part:.0%}")


def _figures(waits: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(waits), statistics.quantiles(waits, n=20)[-1], max(waits)


if __name__ == "__main__":
    main()
