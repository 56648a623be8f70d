"""A worker that runs nothing: registers, claims, sends heartbeats and tells of results."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar
from urllib.parse import quote

from ffmpeg_jobs import __version__
from ffmpeg_jobs.model import Machine, Outcome, State
from ffmpeg_jobs.problems import MasterUnreachable, NotFound, Problem, StaleAttempt
from ffmpeg_jobs.simulation.connection import Connection, Place
from ffmpeg_jobs.simulation.figures import Figures
from ffmpeg_jobs.wire import to_json

#: On a worker: that it is simulated, and in which run; on a job: the same, asked of its worker.
LABEL: Final = "simulated"
#: The least that a job may ask for.
MEMORY_MB: Final = 16
DISK_MB: Final = 1
#: As the worker's own.
CLAIM_WAIT_SECONDS: Final = 45.0
_AGAIN_SECONDS: Final = 1.0
_COMPLETED: Final = to_json(Outcome(State.COMPLETED))

Answer = TypeVar("Answer")


def machine(run: str) -> Machine:
    """One that no other job goes to: it claims to require limits, and enforces none.

    Such a machine takes only jobs that allow it by themselves, and this one only the smallest.
    """
    return Machine(
        cpus=1,
        memory_mb=MEMORY_MB,
        disk_free_mb=DISK_MB,
        max_concurrent_jobs=1,
        manager="none",
        version=__version__,
        require_enforcement=True,
        labels={LABEL: run},
    )


async def persist(figures: Figures, ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """What is asked until a master answers. Raises a Problem that was refused."""
    while True:
        try:
            return await ask()
        except (MasterUnreachable, Problem) as trouble:
            figures.failed(trouble)
            if isinstance(trouble, Problem) and trouble.status < 500:
                raise
        await asyncio.sleep(_AGAIN_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - no secret


class Worker:
    """One of a farm. Each job takes it ``job_seconds``, and completes.

    It has two connections, as a real one has: a claim is held open on one of them.
    """

    def __init__(
        self,
        name: str,
        run: str,
        masters: Sequence[Place],
        figures: Figures,
        *,
        first: int,
        job_seconds: float,
    ) -> None:
        """Nothing is said before it registers."""
        self._name, self._run = name, run
        self._figures = figures
        self._job_seconds = job_seconds
        self._claims = Connection(masters, first)
        self._reports = Connection(masters, first)
        self._known = False
        self._running: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._serial = time.time_ns() // 1_000_000
        self._pause_seconds = 0.0

    async def register(self) -> None:
        """Tell the master of a machine that is not there."""
        path = f"/workers/{quote(self._name, safe='')}"
        body = to_json(machine(self._run))
        answer = await self._ask("register", self._reports, "PUT", path, body)
        self._known, self._pause_seconds = True, answer["heartbeat_seconds"]

    async def heartbeats(self) -> None:
        """As often as the master wants, and at once when a job was taken or ended."""
        # Workers do not start together; those of a simulation do.
        self._pause_seconds *= random.random()  # noqa: S311 - no secret
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_seconds):
                    await self._news.wait()
            self._news.clear()
            await self._heartbeat()

    async def _heartbeat(self) -> None:
        body = {"running": list(self._running), "disk_free_mb": DISK_MB}
        body["claim_serial"] = self._serial
        path = f"/workers/{quote(self._name, safe='')}/heartbeat"
        try:
            if not self._known:
                await self.register()
            answer = await self._ask("heartbeat", self._reports, "POST", path, body)
            self._pause_seconds = answer["heartbeat_seconds"]
        except (MasterUnreachable, Problem) as trouble:
            self._note(trouble)
            self._pause_seconds = _AGAIN_SECONDS

    async def jobs(
        self,
        started: Callable[[dict[str, Any], float], None],
        ended: Callable[[dict[str, Any]], None],
        stranger: Callable[[dict[str, Any]], None],
    ) -> None:
        """One job after the other; the result of each travels with the next claim.

        ``started`` hears of each claim, and when it was asked for; ``ended`` when the master has
        its result; ``stranger`` of a job that is not of this run, and then it claims no more.
        """
        done: dict[str, Any] | None = None
        while True:
            asked_at = time.monotonic()
            try:
                claim = await self._claim(done)
                if done is not None:
                    ended(done)
                done = claim
                if claim is None:
                    continue
                if claim["job"].get("worker_labels", {}).get(LABEL) != self._run:
                    stranger(claim)
                    return
            except (MasterUnreachable, Problem) as trouble:
                self._note(trouble)
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            started(claim, asked_at)
            self._report(claim)
            await asyncio.sleep(self._job_seconds)

    def _report(self, *claims: dict[str, Any]) -> None:
        """Tell the master at once what runs now."""
        self._running = [{key: of[key] for key in ("job_id", "attempt", "token")} for of in claims]
        self._news.set()

    async def _claim(self, done: dict[str, Any] | None) -> dict[str, Any] | None:
        """The next job; None: there was none in time. ``done`` has completed."""
        self._serial += 1
        asked = {"worker": self._name, "wait_seconds": CLAIM_WAIT_SECONDS, "serial": self._serial}
        if done is not None:
            result = {key: done[key] for key in ("job_id", "attempt", "token")}
            asked["results"] = [result | {"outcome": _COMPLETED}]
        sent_at = time.monotonic()
        found = await self._claims.ask("POST", "/claims", asked, wait_seconds=CLAIM_WAIT_SECONDS)
        self._figures.requests += 1
        if done is not None:
            if found is None:
                raise MasterUnreachable("the master answered a result with nothing")
            self._figures.took("result", time.monotonic() - sent_at)
            self._report()
            for refused in found["refused"]:
                self._figures.failed(StaleAttempt(refused["detail"]))
        return next(iter(found["claims"]), None) if found else None

    async def _ask(self, kind: str, line: Connection, method: str, path: str, body: Any) -> Any:
        sent_at = time.monotonic()
        answer = await line.ask(method, path, body)
        self._figures.took(kind, time.monotonic() - sent_at)
        self._figures.requests += 1
        return answer

    def _note(self, trouble: Exception) -> None:
        self._figures.failed(trouble)
        if isinstance(trouble, NotFound):
            self._known = False
            self._news.set()

    def close(self) -> None:
        """Hang up."""
        self._claims.close()
        self._reports.close()
