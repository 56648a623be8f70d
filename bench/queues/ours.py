"""Our master's API: jobs are submitted by the client, and taken by the worker's own dialogue."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import Claim, Heartbeat, HeartbeatAnswer, Machine, Outcome, Report, State
from ffmpeg_worker.dialogue import Dialogue, Voice
from ffmpeg_worker.lease import Lease
from ffmpeg_worker.report import report
from ffmpeg_worker.results import Results

JOB = {"parameters": {"duration": 1}}
DONE = Outcome(State.COMPLETED)


def client() -> MasterClient:
    """The master that is measured."""
    return MasterClient(Endpoint(os.environ["MASTER"], os.environ["KEY"]))


def submit(count: int) -> float:
    """One after the other, as a person's script does."""
    master = client()
    begun = time.monotonic()
    for _ in range(count):
        master.submit(JOB)
    return count / (time.monotonic() - begun)


def submit_hundreds(count: int) -> float:
    """A hundred with each request."""
    master = client()
    begun = time.monotonic()
    for _ in range(count // 100):
        master.submit_batch([JOB] * 100)
    return count / (time.monotonic() - begun)


class Worker:
    """A worker whose jobs do nothing; what it says to the master is all that a real one says."""

    def __init__(self, slots: int, name: str = "bench", job_seconds: float = 0.0) -> None:
        """Nothing is said before ``begin``."""
        self.slots = slots
        self.job_seconds = job_seconds
        self.live: dict[asyncio.Task[None], Claim] = {}
        self.started: list[tuple[int, Claim]] = []  #: Unix time in nanoseconds, and what
        self.spans: list[tuple[float, float, float]] = []  #: Unix times: begun, over, told
        self.ended = 0
        self.changed = asyncio.Event()
        self.loops: list[asyncio.Future[None]] = []
        self.results = Results(client())
        self.results.freed = self.changed.set
        voice = Voice(
            self._machine,
            self._heartbeat,
            lambda: (False, None),
            self._room,
            self._free,
            lambda: (),
            self._take,
            self._obey,
            lambda: None,
        )
        self.dialogue = Dialogue(self.results, name, voice)

    async def begin(self) -> None:
        """Register, and from now on ask for jobs."""
        loops = (self.dialogue.heartbeats(), self.dialogue.claims())
        self.loops = [asyncio.ensure_future(loop) for loop in loops]
        await self.dialogue.registered.wait()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for something that begins or ends with a job."""
        while not reached():
            self.changed.clear()
            await self.changed.wait()

    def _machine(self) -> Machine:
        """With room for anything."""
        return Machine(64, 1 << 20, 1 << 30, self.slots, enforced=("cpu", "memory", "pids"))

    def _heartbeat(self) -> Heartbeat:
        running = [Report(one.job_id, one.attempt, one.token) for one in list(self.live.values())]
        return Heartbeat(tuple(running), 1 << 30)

    async def _room(self) -> int:
        await self.until(lambda: self._free() > 0)
        return self._free()

    def _free(self) -> int:
        """Who only tells how it ended holds no place."""
        return self.slots - len(self.live) + len(self.results)

    def _take(self, claim: Claim, _lease: Lease) -> None:
        self.started.append((time.time_ns(), claim))
        task = asyncio.ensure_future(self._run(claim))
        self.live[task] = claim
        task.add_done_callback(self._over)
        self._tell()

    async def _run(self, claim: Claim) -> None:
        begun = time.time()
        if self.job_seconds:
            await asyncio.sleep(self.job_seconds)
        over = time.time()
        await report(claim, DONE, "", self.results)
        self.spans.append((begun, over, time.time()))

    def _over(self, task: "asyncio.Task[None]") -> None:
        del self.live[task]
        self.ended += 1
        self._tell()

    def _tell(self) -> None:
        """As a real worker does at once, of each that begins or ends."""
        self.changed.set()
        self.dialogue.news.set()

    def _obey(self, answer: HeartbeatAnswer, _sent_at: float) -> None:
        """Nobody asks anything of these jobs."""


async def work(count: int, slots: int) -> float:
    """All that waits."""
    worker = Worker(slots)
    await worker.begin()
    begun = time.monotonic()
    await worker.until(lambda: worker.ended == count)
    return count / (time.monotonic() - begun)


async def crew(number: int, slots: int, job_seconds: float) -> list[tuple[float, float, float]]:
    """One worker of several, until the end of its standard input."""
    worker = Worker(slots, f"bench-{number}", job_seconds)
    await worker.begin()
    await asyncio.to_thread(sys.stdin.read)
    return worker.spans


async def wait(count: int) -> list[float]:
    """One worker waits; a job comes now and then, from a program of its own."""
    worker = Worker(1)
    await worker.begin()
    command = (sys.executable, __file__, "submit_told")
    pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    program = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=nowhere)
    assert program.stdin is not None
    for number in range(count + 1):
        await asyncio.sleep(0.1)
        program.stdin.write(b"\n")
        await worker.until(lambda: worker.ended == number + 1)  # noqa: B023 - called at once
    waits = [(at - int(claim.job.labels["sent"])) / 1e6 for at, claim in worker.started]
    return waits[1:]  # before the first there was a connection to be made


def submit_told() -> None:
    """One job for each line that is read; it says when it was sent."""
    master = client()
    for _ in sys.stdin:
        master.submit(JOB | {"labels": {"sent": str(time.time_ns())}})


async def tell(found: Awaitable[Any]) -> None:
    """Print it, and be gone: a claim that is held open holds its thread for long."""
    print(json.dumps(await found), flush=True)
    os._exit(0)


numbers = [int(word) if word.isdecimal() else float(word) for word in sys.argv[2:]]
if sys.argv[1].startswith("submit"):
    print(json.dumps(globals()[sys.argv[1]](*numbers)))
else:
    asyncio.run(tell(globals()[sys.argv[1]](*numbers)))
