"""Simulated workers, and jobs for them alone: who is asked what, and how long it took."""

from __future__ import annotations

import asyncio
import resource
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import State
from ffmpeg_jobs.problems import Conflict, MasterUnreachable, NotFound, Problem
from ffmpeg_jobs.settings import ConfigError
from ffmpeg_jobs.simulation.connection import Connection, places
from ffmpeg_jobs.simulation.figures import Figures
from ffmpeg_jobs.simulation.worker import DISK_MB, LABEL, MEMORY_MB, Worker, persist

#: Registrations on their way at a time: more would only queue up in the kernel.
_AT_A_TIME: Final = 64
#: No job ended for so long, and more: something is wrong.
_PATIENCE_SECONDS: Final = 120.0
_LIVE: Final = (State.QUEUED, State.RUNNING, State.PAUSED)
#: Beside connections: files, the event loop.
_OTHER_FILES: Final = 64


@dataclass(frozen=True)
class Load:
    """What the farm is to bear."""

    workers: int
    jobs: int
    job_seconds: float = 0.0
    submitters: int = 4  #: connections that submit jobs at the same time
    rate: float | None = None  #: jobs submitted a second; None: as fast as they are accepted
    name: str = LABEL  #: workers are NAME-1, NAME-2, ...


def refuse_others(client: MasterClient) -> None:
    """Raises Conflict if the master has workers or live jobs that are not simulated."""
    for worker in client.workers():
        if LABEL not in worker.machine.labels:
            raise _not_made_for_it(f"the worker {worker.name} is registered there")
    for state in _LIVE:
        for job in client.jobs(state=state.value):
            if LABEL not in job.job.worker_labels:
                raise _not_made_for_it(f"the job {job.id} is {state.value} there")


def _not_made_for_it(why: str) -> Conflict:
    return Conflict(
        f"simulated workers run nothing, so they go to a master of their own only: {why}"
    )


class Farm:
    """Workers, and jobs for them, inside ``async with``."""

    def __init__(self, endpoint: Endpoint, load: Load) -> None:
        """Nothing is asked yet. Raises ConfigError if this process may not open the connections."""
        _allow_files(2 * load.workers + load.submitters + _OTHER_FILES)
        self.figures = Figures()
        self.group = f"{load.name}-{secrets.token_hex(4)}"
        self.ended = 0
        self._load = load
        self._masters = places(endpoint)
        self._sent_at: dict[int, float] = {}  #: monotonic seconds, by the job's number
        self._waits: set[int] = set()  #: jobs that were submitted and have not ended
        self._changed = asyncio.Event()
        self._strangers: list[dict[str, Any]] = []  #: jobs that are not ours
        self._tasks: list[asyncio.Task[None]] = []
        self._workers = [
            Worker(
                f"{load.name}-{number + 1}",
                self.group,
                self._masters,
                self.figures,
                first=number,
                job_seconds=load.job_seconds,
            )
            for number in range(load.workers)
        ]

    async def __aenter__(self) -> Farm:
        """What is begun inside ends with it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in self._workers:
            worker.close()
        # Not before: another of the workers would be given it next.
        connection = Connection(self._masters)
        for claim in self._strangers:
            path = f"/jobs/{claim['job_id']}/attempts/{claim['attempt']}/release"
            body = {"token": claim["token"], "why": "a simulated worker runs nothing"}
            with suppress(MasterUnreachable, Problem):  # its lease ends soon
                await connection.ask("POST", path, body)
        connection.close()

    async def register(self) -> None:
        """Have all workers wait for jobs. Raises a Problem that was refused."""
        room = asyncio.Semaphore(_AT_A_TIME)

        async def begin(worker: Worker) -> None:
            async with room:
                await persist(self.figures, worker.register)
            jobs = worker.jobs(self._started, self._ended, self._met)
            self._tasks += map(asyncio.create_task, (worker.heartbeats(), jobs))

        beginning = [asyncio.create_task(begin(worker)) for worker in self._workers]
        self._tasks += beginning
        await asyncio.gather(*beginning)

    async def work(self, told: Callable[[int], None] = lambda _: None) -> None:
        """Submit all jobs and wait until they ended; ``told`` hears how many have.

        Raises a Problem that was refused; Conflict if a worker met a job that is not ours;
        MasterUnreachable if nothing comes any more.
        """
        numbers = iter(range(self._load.jobs))
        begun = time.monotonic()
        submitting = [
            asyncio.create_task(self._submit(numbers, begun, line))
            for line in range(self._load.submitters)
        ]
        try:
            await self._wait(submitting, told)
        finally:
            for task in submitting:
                task.cancel()
            await asyncio.gather(*submitting, return_exceptions=True)

    async def _wait(
        self, submitting: list[asyncio.Task[None]], told: Callable[[int], None]
    ) -> None:
        patience = _PATIENCE_SECONDS + self._load.job_seconds
        while self.ended < self._load.jobs:
            self._changed.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._changed.wait()
            except TimeoutError:
                words = f"no job ended for {patience:.0f} s; {len(self._waits)} have not"
                raise MasterUnreachable(words) from None
            for task in submitting:
                if task.done():
                    task.result()
            for claim in self._strangers:
                raise _not_made_for_it(f"one was given the job {claim['job_id']}, and gave it back")
            told(self.ended)

    async def _submit(self, numbers: Any, begun: float, line: int) -> None:
        """Take the next job's number and submit it, at its time, until there are no more."""
        connection = Connection(self._masters, line)
        try:
            for number in numbers:
                if self._load.rate is not None:
                    await asyncio.sleep(begun + number / self._load.rate - time.monotonic())
                await self._submit_one(connection, number)
        finally:
            connection.close()
            self._changed.set()

    async def _submit_one(self, connection: Connection, number: int) -> None:
        key = {"Idempotency-Key": f"{self.group}-{number}"}
        sent_at = self._sent(number)
        asked = _job(self.group, number)
        await persist(self.figures, lambda: connection.ask("POST", "/jobs", asked, headers=key))
        self.figures.took("submit", time.monotonic() - sent_at)
        self.figures.requests += 1

    def _sent(self, number: int) -> float:
        self._sent_at[number] = time.monotonic()
        self._waits.add(number)
        return self._sent_at[number]

    def _started(self, claim: dict[str, Any], asked_at: float) -> None:
        sent_at, now = self._sent_at[_number(claim)], time.monotonic()
        self.figures.took("claim", now - max(asked_at, sent_at))
        self.figures.took("start", now - sent_at)

    def _ended(self, claim: dict[str, Any]) -> None:
        self._waits.discard(_number(claim))
        self.ended = len(self._sent_at) - len(self._waits)
        self._changed.set()

    def _met(self, claim: dict[str, Any]) -> None:
        self._strangers.append(claim)
        self._changed.set()


def cancel(client: MasterClient, group: str) -> None:
    """End what a run that was broken off left in the queue."""
    with suppress(NotFound):
        client.cancel_group(group)


def _job(run: str, number: int) -> dict[str, Any]:
    """A job that no real worker gets: none has the label that it asks for."""
    limits = {"max_cpu_percent": 100, "max_memory_mb": MEMORY_MB, "max_disk_mb": DISK_MB}
    return {
        "parameters": {"duration": 1},
        "resource_limits": limits,
        "require_enforcement": False,
        "worker_labels": {LABEL: run},
        "labels": {LABEL: str(number)},
        "group": run,
    }


def _number(claim: dict[str, Any]) -> int:
    return int(claim["job"]["labels"][LABEL])


def _allow_files(count: int) -> None:
    """Raises ConfigError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and count > hard:
        raise ConfigError(
            f"so many workers need {count} open files, and this process may have {hard}: "
            "have fewer workers, or raise the limit (ulimit -Hn)"
        )
    if soft != resource.RLIM_INFINITY and count > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
