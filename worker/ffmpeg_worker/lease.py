"""What the master last said about one attempt: until when it is ours, and what it asks."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Final

from ffmpeg_jobs.model import Terms

#: Publishing goes on only with this much of the lease left: a rename takes milliseconds, and
#: the clocks of two machines need not agree, only run equally fast.
MARGIN_SECONDS: Final = 5.0
#: A sleep does not count the time that a machine was suspended: the lease is looked at so often.
LOOK_SECONDS: Final = 1.0
#: Who may end an attempt whatever it has reached, also when only its publishing is left.
FINAL: Final = ("cancel", "lost")


def boot_seconds() -> float:
    """Seconds since boot, suspend included: a lease also runs out while a machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One attempt's lease. Written by the heartbeat, read by the attempt; one event loop."""

    def __init__(self, until: float = 0.0) -> None:
        """``until`` is in boot seconds; an adopted attempt starts with none."""
        self.until = until
        self.stop_asked_by: str | None = None
        self.at_work = True  #: False: ffmpeg has ended, and its place is another's
        self.announced = False  #: the master has the log, and knows that the output is published
        self.gives_way = False  #: it stands still for a live job
        self._asked: Terms | None = None
        self.unmet: str | None = None  #: why that is not in force, for the next heartbeat
        self._stop = asyncio.Event()
        self._other = asyncio.Event()
        self._news = asyncio.Event()

    def extend(self, sent_at: float, lease_seconds: float) -> None:
        """A heartbeat sent at ``sent_at`` (boot seconds) was answered: the lease is ours."""
        self.until = max(self.until, sent_at + lease_seconds)
        self._news.set()

    def want(self, terms: Terms | None) -> None:
        """How the master wants the attempt to be held; mostly the same again."""
        if terms is not None and terms != self._asked:
            self._asked, self.unmet = terms, None
            self._other.set()

    def give_way(self, still: bool) -> None:
        """Have it stand still for a live job, or go on."""
        self.gives_way = still
        self._other.set()

    @property
    def wanted(self) -> Terms | None:
        """How it shall be held; None: not heard yet."""
        if self._asked is None:
            return None
        return replace(self._asked, paused=self._asked.paused or self.gives_way)

    async def other_terms(self, than: Terms | None) -> Terms:
        """Wait until something else is wanted than this."""
        while (wanted := self.wanted) is None or wanted == than:
            self._other.clear()
            await self._other.wait()
        return wanted

    def ask_stop(self, by: str) -> None:
        """Somebody wants the attempt to end: of "cancel" and "lost" the first counts, else of
        "disk", "volume" and those in outcome.HANDED_BACK."""
        if self.stop_asked_by is None or (by in FINAL and self.stop_asked_by not in FINAL):
            self.stop_asked_by = by
        self._stop.set()
        self._news.set()

    async def stop_asked(self) -> None:
        """Wait until somebody wants the attempt to end."""
        await self._stop.wait()

    async def confirmed(self) -> bool:
        """Wait until the attempt is certainly ours (True) or certainly not (False).

        While the master is away this waits: a finished encode is not published on the word
        of a lease that may have run out. What ended well while it was to be handed back is not
        encoded again for that, nor what ended well while its disk was full.
        """
        while self.stop_asked_by not in FINAL:
            if self.sure:
                return True
            self._news.clear()
            await self._news.wait()
        return False

    @property
    def sure(self) -> bool:
        """Whether the attempt is certainly ours now; may be asked in a thread."""
        return self.sure_seconds > 0 and self.stop_asked_by not in FINAL

    @property
    def sure_seconds(self) -> float:
        """How long the attempt is still certainly ours."""
        return self.until - boot_seconds() - MARGIN_SECONDS

    async def unsure(self) -> None:
        """Wait until the attempt is not certainly ours any more."""
        while (left := self.sure_seconds) > 0:
            await asyncio.sleep(min(left, LOOK_SECONDS))
