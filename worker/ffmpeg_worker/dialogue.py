"""What is said between this worker and its master: claims, which it holds open until there is
work, and heartbeats, which tell how it goes and bring back what to do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import structlog

from ffmpeg_jobs.bounds import CLAIM_MAX_JOBS
from ffmpeg_jobs.model import Claim, Claimed, Heartbeat, HeartbeatAnswer, Machine, Report
from ffmpeg_jobs.problems import InvalidField, MasterUnreachable, NotFound, Problem
from ffmpeg_worker.backoff import Backoff
from ffmpeg_worker.lease import Lease, boot_seconds
from ffmpeg_worker.results import Results

#: How long a claim is held open by the master when there is no job; proxies commonly cut at 60.
CLAIM_WAIT_SECONDS: Final = 45.0
#: Before a master has said how often it wants to hear from us.
HEARTBEAT_SECONDS: Final = 2.0
#: A master that is back has orders; to be asked so often is what it is used to.
HEARTBEAT_RETRY_MAX_SECONDS: Final = 4.0

#: What happens within this time is told together: of many short jobs each would be news.
TOGETHER_SECONDS: Final = 0.25

log = structlog.get_logger()


@dataclass(frozen=True)
class Voice:
    """What the worker has to say, and who hears the answers."""

    machine: Callable[[], Machine]
    heartbeat: Callable[[], Heartbeat]  #: called in a thread
    room: Callable[[], Awaitable[int]]  #: waits until there is room for so many jobs
    take: Callable[[Claim, Lease], None]
    obey: Callable[[HeartbeatAnswer, float], None]
    changed: Callable[[], None]  #: the master went away, or is back


class Dialogue:
    """The two loops, and what they know of the master."""

    def __init__(self, results: Results, name: str, voice: Voice) -> None:
        """Nothing is said before the loops run."""
        self.client = results.client
        self.results = results
        self.name = name
        self.voice = voice
        self.registered = asyncio.Event()
        self.news = asyncio.Event()  #: something is to be told before the next heartbeat is due
        self.heartbeat_seconds = HEARTBEAT_SECONDS
        self.trouble: str | None = None  #: why the master could not be asked last time
        # Above that of any claim that an earlier process of ours made.
        self.claim_serial = time.time_ns() // 1_000_000

    async def claims(self) -> None:
        """Ask for work whenever there is room; the master holds the question open."""
        backoff = Backoff()
        await self.registered.wait()
        while True:
            most = min(await self.voice.room(), CLAIM_MAX_JOBS)
            asked_at = boot_seconds()
            try:
                found = await self._claim(most)
            except NotFound:  # a master that does not know us
                self.register_anew()
                await self.registered.wait()
            except (MasterUnreachable, Problem) as trouble:
                self._note(trouble)
                await asyncio.sleep(backoff.pause())
            else:
                backoff.reset()
                for claim in found.claims:
                    self.voice.take(claim, Lease(asked_at + claim.lease_seconds))

    async def _claim(self, most: int) -> Claimed:
        """Ask for work; how the last jobs ended goes along."""
        self.claim_serial += 1
        taken = self.results.take()
        asked = (self.name, CLAIM_WAIT_SECONDS, self.claim_serial)
        claim = partial(self.client.claims, *asked, most=most, results=tuple(taken.values()))
        try:
            found = await asyncio.to_thread(claim)
        except (MasterUnreachable, Problem):
            self.results.unheard(taken)
            raise
        self.results.heard(taken, found.refused)
        return found

    async def heartbeats(self) -> None:
        """Tell the master how it goes, and do what it says."""
        backoff = Backoff(last_seconds=HEARTBEAT_RETRY_MAX_SECONDS)
        while True:
            self.news.clear()
            soonest = time.monotonic() + TOGETHER_SECONDS
            try:
                if not self.registered.is_set():
                    await self._say(self._register)
                    self.registered.set()
                await self._say(self._beat)
                backoff.reset()
                pause = self.heartbeat_seconds
            except NotFound:
                self.registered.clear()
                pause = backoff.pause()
            except (MasterUnreachable, Problem) as trouble:
                self._note(trouble)
                pause = backoff.pause()
            with suppress(asyncio.TimeoutError):
                # A new attempt is reported at once: its first heartbeat confirms its lease.
                await asyncio.wait_for(self.news.wait(), pause)
            await asyncio.sleep(soonest - time.monotonic())

    def register_anew(self) -> None:
        """Tell the master, at once, what the machine has become."""
        self.registered.clear()
        self.news.set()

    async def _say(self, words: Callable[[], HeartbeatAnswer]) -> None:
        sent_at = boot_seconds()
        answer = await asyncio.to_thread(words)
        self._note(None)
        self.heartbeat_seconds = answer.heartbeat_seconds
        self.voice.obey(answer, sent_at)

    def _register(self) -> HeartbeatAnswer:
        return self.client.register(self.name, self.voice.machine())

    def _beat(self) -> HeartbeatAnswer:
        # Read first: what earlier claims brought is among the reports that are made then.
        serial = self.claim_serial
        heartbeat = replace(self.voice.heartbeat(), claim_serial=serial)
        try:
            return self.client.heartbeat(self.name, heartbeat)
        except InvalidField as refusal:
            # One figure that the master does not take must not cost every lease.
            log.error("heartbeat_cut_down", reason=str(refusal))
            bare = tuple(Report(one.job_id, one.attempt, one.token) for one in heartbeat.running)
            return self.client.heartbeat(self.name, replace(heartbeat, running=bare))

    def _note(self, trouble: Exception | None) -> None:
        """Log it when the master goes away, and when it is back; not every time between."""
        before, self.trouble = self.trouble, None if trouble is None else str(trouble)
        if trouble is not None and before is None:
            log.warning("master_unreachable", reason=str(trouble))
        elif trouble is None and before is not None:
            log.info("master_is_back")
        if (before is None) != (trouble is None):
            self.voice.changed()
