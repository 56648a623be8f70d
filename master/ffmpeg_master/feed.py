"""Who watches jobs is told here of what changed.

One reader asks the store for all who watch at this master: at once when something was changed
here, and each second for what was changed at another master. Nobody watches: nobody asks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.model import Change
from ffmpeg_master.store import changes
from ffmpeg_master.store.engine import TRANSACTION_SECONDS, Store

#: Who comes beyond them is asked to come later: each holds a connection, and is told everything.
WATCHERS_MOST: Final = 1000
#: Likewise for one key, so that it does not take the places of all.
WATCHERS_OF_KEY_MOST: Final = 100
#: Between two looks at what other masters changed.
_LOOK_SECONDS: Final = 1.0
#: Between two looks at all, however much changes.
_PAUSE_SECONDS: Final = 0.05
#: A change is mostly visible this soon after its time.
_SOON_SECONDS: Final = 2.0
#: Between two looks for those that became visible later.
_LATE_LOOK_SECONDS: Final = 5.0
#: Whoever comes again is told so much of before the change that it was told last: what was late
#: then may not have been told yet.
OVERLAP_SECONDS: Final = TRANSACTION_SECONDS + 2 * _LATE_LOOK_SECONDS

log = structlog.get_logger()


class Watcher:
    """What one who watches has not been told yet: of each job, how it stands now."""

    def __init__(self, wants: Callable[[Change], bool], key: str) -> None:
        self.key = key
        self.over = False  #: it will hear no more
        self._wants = wants
        self._lock = threading.Lock()
        self._untold: dict[str, Change] = {}
        self._news = threading.Event()

    def offer(self, change: Change) -> None:
        """Keep a change, if it is wanted."""
        if self._wants(change):
            with self._lock:
                self._untold[change.status.id] = change
                self._news.set()

    def end(self) -> None:
        """It will hear no more; have ``take`` return."""
        self.over = True
        self._news.set()

    def take(self, wait_seconds: float) -> list[Change]:
        """What came since the last time, oldest first; nothing after ``wait_seconds``."""
        self._news.wait(wait_seconds)
        with self._lock:
            self._news.clear()
            untold, self._untold = self._untold, {}
        return sorted(untold.values(), key=lambda change: change.at)


class Feed:
    """All who watch at this master."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._starting = threading.Lock()  #: held while the database is asked, unlike the other
        self._watchers: set[Watcher] = set()
        self._look = threading.Event()
        self._reading: _Reading | None = None  #: of the reader that is at work
        self.closed = False

    @contextmanager
    def watcher(self, wants: Callable[[Change], bool], key: str) -> Iterator[Watcher]:
        """One more who watches, with that key; is offered all from now on. Raises Unavailable."""
        watcher = Watcher(wants, key)
        with self._lock:
            self._check_room(key)
            self._watchers.add(watcher)
        try:
            self._start()
            yield watcher
        finally:
            with self._lock:
                self._watchers.discard(watcher)

    def _start(self) -> None:
        """Have a reader at work. Raises Unavailable."""
        with self._starting:
            if self._reading is not None:
                return
            reading = _Reading(self._store)
            with self._lock:
                threading.Thread(target=self._read, args=(reading,), daemon=True).start()
                self._reading = reading

    def _check_room(self, key: str) -> None:
        if self.closed or len(self._watchers) >= WATCHERS_MOST:
            raise Unavailable(f"{len(self._watchers)} watch already; come again later")
        mine = sum(watcher.key == key for watcher in self._watchers)
        if mine >= WATCHERS_OF_KEY_MOST:
            raise Unavailable(f"{mine} watch with the key {key} already; come again later")

    def nudge(self) -> None:
        """Something may have changed here."""
        self._look.set()

    def close(self) -> None:
        """Let all who watch go."""
        with self._lock:
            self.closed = True
            for watcher in self._watchers:
                watcher.end()

    def __len__(self) -> int:
        return len(self._watchers)

    def _read(self, reading: _Reading) -> None:
        try:
            while self._is_watched():
                self._look.wait(_LOOK_SECONDS)
                self._look.clear()
                self._offer(reading)
                time.sleep(_PAUSE_SECONDS)
        finally:
            with self._lock:
                if self._reading is reading:
                    # It fell over something. Who comes again has another one.
                    self._reading = None
                    for watcher in self._watchers:
                        watcher.end()

    def _is_watched(self) -> bool:
        """Whether anybody watches. If not, who comes next needs another reader."""
        with self._lock:
            if self.closed or not self._watchers:
                self._reading = None
            return self._reading is not None

    def _offer(self, reading: _Reading) -> None:
        try:
            news = reading.go_on()
        except Unavailable as problem:
            log.debug("feed_postponed", detail=problem.detail)
            return
        with self._lock:
            watchers = tuple(self._watchers)  # also those who came while it was read
        for change in news:
            for watcher in watchers:
                watcher.offer(change)


class _Reading:
    """What was read, so that each change is read once.

    Changes are told apart by their times, not put in order by them: of one job, too, the later
    change may have the earlier time, and a clock may be set back.
    """

    def __init__(self, store: Store) -> None:
        """From now on. Raises Unavailable."""
        self._store = store
        with store.read():
            #: The times of the last look, and of the last one for what came late.
            self._looked_at = self._looked_back_at = now = store.now()
            #: Of the jobs that changed lately, when.
            self._seen = changes.times(store, now - TRANSACTION_SECONDS, now)

    def go_on(self) -> list[Change]:
        """What was not read before, oldest first. Raises Unavailable, and then it all comes yet."""
        with self._store.read():
            now = self._store.now()
            looks_back = not self._looked_at <= now < self._looked_back_at + _LATE_LOOK_SECONDS
            if looks_back:
                after = min(self._looked_back_at, now) - TRANSACTION_SECONDS
            else:
                after = self._looked_at - _SOON_SECONDS
            found = changes.times(self._store, after, now)
            new = [number for number, at in found.items() if self._seen.get(number) != at]
            news = changes.of(self._store, new)
        if looks_back:
            self._looked_back_at, self._seen = now, found
        else:
            self._seen |= found
        self._looked_at = now
        return news


def read(store: Store, after: float, tenant: str | None = None) -> Iterator[Change]:
    """All of a tenant's, None: of everybody's, that changed after that Unix time, oldest first;
    a page is read when it is asked for."""
    number = 0
    while page := changes.since(store, after, number, tenant):
        yield from page
        after, number = page[-1].at, page[-1].number
