"""What a master bears as workers and backlog grow together: speed, waits, CPU and memory.

The workers are those of ``ffmpeg-jobs simulate``, in this process, and all are at work. As many
jobs end a second however many workers there are, and for each a new one is submitted: what grows
is how many workers are heard, and what lies in the queue.
"""

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice, product
from math import nan
from pathlib import Path
from typing import Any

from bench import table
from bench.master import Running, master
from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.contract import BATCH_MAX_JOBS
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.simulation.connection import Connection, Place, places
from ffmpeg_jobs.simulation.figures import Figures
from ffmpeg_jobs.simulation.worker import DISK_MB, LABEL, MEMORY_MB, Worker, persist

RUN = "bench"
#: In nine ranks; the workers of this run, and no others, take them.
KINDS: Sequence[dict[str, Any]] = [
    {
        "parameters": {"duration": 1},
        "resource_limits": {"max_memory_mb": MEMORY_MB, "max_disk_mb": DISK_MB},
        "require_enforcement": False,
        "worker_labels": {LABEL: RUN},
        "queue": queue,
        "priority": priority,
    }
    for queue, priority in product(("live", "default", "batch"), ("high", "medium", "low"))
]
SUBMITTERS = 4
#: Registrations on their way at a time.
AT_A_TIME = 64
#: After the last worker has begun.
SETTLE_SECONDS = 3.0
TOLD = ("claim", "heartbeat", "submit")
HEAD = ("workers", "backlog", "jobs/s", "requests/s")
COST = ("% of a core", "MiB")


class Window(Figures):
    """Figures of the time that is measured; what led to it is not."""

    def __init__(self) -> None:
        super().__init__()
        self.open = False
        self.ended = 0  #: jobs, since ever

    def took(self, kind: str, seconds: float) -> None:
        """One of this kind took so long."""
        if self.open:
            super().took(kind, seconds)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--workers", type=int, nargs="+", default=[100, 1000, 3000])
    options.add_argument("--backlogs", type=int, nargs="+", default=[1_000, 100_000])
    options.add_argument("--rate", type=float, default=100.0, help="jobs that end a second")
    options.add_argument("--seconds", type=float, default=15.0, help="that are measured, of each")
    asked = options.parse_args()
    rows = []
    for backlog in asked.backlogs:
        with tempfile.TemporaryDirectory() as filled:
            with master(Path(filled), _database(filled)) as running:
                _fill(running, backlog)
            for workers in asked.workers:
                found = _on_a_copy(filled, workers, asked.rate, asked.seconds)
                rows.append((workers, backlog, *found))
    waits = (f"{kind}, {part}" for kind in TOLD for part in ("median ms", "99 %"))
    title = f"A master on SQLite, each for {asked.seconds:.0f} s at {asked.rate:.0f} jobs a second"
    table.show(title, (*HEAD, *waits, *COST), rows)


def _database(place: str) -> str:
    return f"sqlite:///{place}/master.db"


def _on_a_copy(filled: str, workers: int, rate: float, seconds: float) -> list[float]:
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(filled, place, dirs_exist_ok=True)
        with master(Path(place), _database(place)) as running:
            _fill(running, workers)  # what they take at once
            return asyncio.run(_measure(running, workers, rate, seconds))


def _fill(running: Running, count: int) -> None:
    client, kinds = MasterClient(Endpoint(running.url, running.key)), cycle(KINDS)
    for begun in range(0, count, BATCH_MAX_JOBS):
        client.submit_batch(list(islice(kinds, min(BATCH_MAX_JOBS, count - begun))))


async def _measure(running: Running, workers: int, rate: float, seconds: float) -> list[float]:
    masters, figures = places(Endpoint(running.url, running.key)), Window()
    ended: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    crew = [
        Worker(f"{RUN}-{n}", RUN, masters, figures, first=0, job_seconds=workers / rate)
        for n in range(workers)
    ]
    room = asyncio.Semaphore(AT_A_TIME)
    await asyncio.gather(*(_register(worker, figures, room) for worker in crew))
    tasks = [asyncio.ensure_future(worker.heartbeats()) for worker in crew]
    tasks += [
        asyncio.ensure_future(_jobs(worker, figures, ended, number / rate))
        for number, worker in enumerate(crew)
    ]
    tasks += [asyncio.ensure_future(_submit(masters, figures, ended)) for _ in range(SUBMITTERS)]
    await asyncio.sleep(workers / rate + SETTLE_SECONDS)
    figures.open, requests, done = True, figures.requests, figures.ended
    begun = time.monotonic()
    cpu = await asyncio.to_thread(running.cpu_percent, seconds)
    figures.open, lasted = False, time.monotonic() - begun
    speeds = [(figures.ended - done) / lasted, (figures.requests - requests) / lasted]
    memory = running.memory_mib()
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for worker in crew:
        worker.close()
    if figures.errors:
        print(dict(figures.errors))
    return [*speeds, *_waits(figures), cpu, memory]


async def _register(worker: Worker, figures: Figures, room: asyncio.Semaphore) -> None:
    async with room:
        await persist(figures, worker.register)


async def _jobs(
    worker: Worker, figures: Window, ended: "asyncio.Queue[dict[str, Any]]", pause_seconds: float
) -> None:
    """Have it at work; workers begin one after the other, and so their jobs end."""

    def end(claim: dict[str, Any]) -> None:
        figures.ended += 1
        ended.put_nowait(claim)

    def start(_claim: dict[str, Any], asked_at: float) -> None:
        figures.took("claim", time.monotonic() - asked_at)

    def refuse(claim: dict[str, Any]) -> None:
        raise AssertionError(claim)

    await asyncio.sleep(pause_seconds)
    await worker.jobs(start, end, refuse)


async def _submit(
    masters: Sequence[Place], figures: Figures, ended: "asyncio.Queue[dict[str, Any]]"
) -> None:
    """A new job for each that ended."""
    connection, kinds = Connection(masters), cycle(KINDS)
    while True:
        await ended.get()
        asked, begun = next(kinds), time.monotonic()
        await persist(figures, lambda: connection.ask("POST", "/jobs", asked))  # noqa: B023
        figures.requests += 1
        figures.took("submit", time.monotonic() - begun)


def _waits(figures: Figures) -> Iterator[float]:
    """Milliseconds; nan: it was never answered in that time."""
    found = figures.latencies()
    for kind in TOLD:
        of = found.get(kind)
        yield of.median * 1000 if of else nan
        yield of.p99 * 1000 if of else nan


if __name__ == "__main__":
    main()
