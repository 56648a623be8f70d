"""What is said between this worker and its master: claims, which it holds open until there is
work, and heartbeats, which tell how it goes and bring back what to do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

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
TOGETHER_SECONDS: Final = 1.0
#: Where jobs are given back at once, the master has so long to answer before.
TELL_NOW_SECONDS: Final = 2.0

log = structlog.get_logger()


@dataclass(frozen=True)
class Voice:
    """What the worker has to say, and who hears the answers."""

    machine: Callable[[], Machine]
    heartbeat: Callable[[], Heartbeat]  #: called in a thread
    holds: Callable[[], tuple[bool, str | None]]  #: whether it drains, and why it takes no jobs
    room: Callable[[], Awaitable[int]]  #: waits until a job may be taken; how many places are free
    places: Callable[[], int]  #: how many are free now
    leaving: Callable[[], Sequence[tuple[str, int]]]  #: the attempts that run no more
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
        self.asking = False  #: a claim is at the master
        self.asked_places = 0  #: that it has said are free
        self._asked_leaving: frozenset[tuple[str, int]] = frozenset()
        self._back = asyncio.Event()  #: the master was away, and is there again
        # Above that of any word that an earlier process of ours said.
        self.serial = time.time_ns() // 1_000_000
        self.claim_serial = self.serial
        self._lost = False  #: the last claim's answer; what came with it is nobody's

    async def claims(self) -> None:
        """Ask for work whenever there is room; the master holds the question open."""
        backoff = Backoff()
        await self.registered.wait()
        while True:
            places = await self.voice.room()
            asked_at = boot_seconds()
            try:
                found = await self._claim(places)
            except NotFound:  # a master that does not know us
                self.register_anew()
                await self.registered.wait()
            except (MasterUnreachable, Problem) as trouble:
                self._back.clear()
                self._note(trouble)
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._back.wait(), backoff.pause())
            else:
                backoff.reset()
                for claim in found.claims:
                    self.voice.take(claim, Lease(asked_at + claim.lease_seconds))

    async def _claim(self, places: int) -> Claimed:
        """Ask for work; how the last jobs ended goes along."""
        self.claim_serial = self._next_serial()
        if self._lost:
            self._lost = False
            self.news.set()  # what an answer brought that was lost goes back to the queue
        taken = self.results.take()
        ended = {(result.job_id, result.attempt) for result in taken.values()}
        leaving = [one for one in self.voice.leaving() if one not in ended]
        self.asked_places, self._asked_leaving = places, frozenset(leaving)
        claim = partial(
            self.client.claims,
            self.name,
            CLAIM_WAIT_SECONDS,
            self.claim_serial,
            most=min(max(places, 1), CLAIM_MAX_JOBS),
            results=tuple(taken.values()),
            places=places,
            leaving=leaving,
        )
        self.asking = True
        try:
            found = await asyncio.to_thread(claim)
        except (MasterUnreachable, Problem):
            self.results.unheard(taken)
            self._lost = True
            raise
        finally:
            self.asking = False
        self.results.heard(taken, found.refused)
        return found

    def _next_serial(self) -> int:
        self.serial += 1
        return self.serial

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
                await self._say(self._beat())
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

    async def tell_now(self) -> None:
        """Have the master hear first what holds us back: what is given back for it would come
        back with the claim that it holds open for us. Without an answer we do not wait for long.
        """
        with suppress(MasterUnreachable, Problem, asyncio.TimeoutError):
            await asyncio.wait_for(self._say(self._beat()), TELL_NOW_SECONDS)

    def register_anew(self) -> None:
        """Tell the master, at once, what the machine has become."""
        self.registered.clear()
        self.news.set()

    async def _say(self, words: Callable[[], HeartbeatAnswer]) -> None:
        sent_at = boot_seconds()
        answer = await asyncio.to_thread(words)
        self._note(None)
        self.heartbeat_seconds = answer.heartbeat_seconds
        self.serial = max(self.serial, answer.serial or 0)
        self.voice.obey(answer, sent_at)

    def _register(self) -> HeartbeatAnswer:
        return self.client.register(self.name, self.voice.machine())

    def _beat(self) -> Callable[[], HeartbeatAnswer]:
        # In one moment: a claim that is made later knows more of what holds it back. And before
        # the reports: what earlier claims brought is among them.
        draining, held_back = self.voice.holds()
        said = {"draining": draining, "held_back": held_back, "claim_serial": self.claim_serial}
        said["recall"] = self._is_outdated()
        return partial(self._tell, {**said, "serial": self._next_serial()})

    def _is_outdated(self) -> bool:
        """Whether the claim at the master would be made otherwise now: it said that there is no
        place, or more than there are, or an attempt runs no more that is still to be reported."""
        if not self.asking:
            return False
        places, left = self.voice.places(), set(self.voice.leaving()) - self._asked_leaving
        return bool(left) or (self.asked_places == 0 < places) or self.asked_places > places

    def _tell(self, said: dict[str, Any]) -> HeartbeatAnswer:
        heartbeat = replace(self.voice.heartbeat(), **said)
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
            self._back.set()
        if (before is None) != (trouble is None):
            self.voice.changed()
