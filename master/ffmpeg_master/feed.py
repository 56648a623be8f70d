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
from ffmpeg_master.store.engine import Store

#: Who comes beyond them is asked to come later: each holds a connection, and is told everything.
WATCHERS_MOST: Final = 1000
#: Likewise for one key, so that it does not take the places of all.
WATCHERS_OF_KEY_MOST: Final = 100
#: Between two looks at what other masters changed.
_LOOK_SECONDS: Final = 1.0
#: Between two looks at all, however much changes.
_PAUSE_SECONDS: Final = 0.05
#: A change may become visible this much after its time, when its transaction ends.
OVERLAP_SECONDS: Final = 2.0

log = structlog.get_logger()


class Watcher:
    """What one who watches has not been told yet: of each job, how it stands now."""

    def __init__(self, wants: Callable[[Change], bool], key: str) -> None:
        self.key = key
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

    def wake(self) -> None:
        """Have ``take`` return."""
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
        self._watchers: set[Watcher] = set()
        self._look = threading.Event()
        self._reads = False  #: a reader is at work
        self.closed = False

    @contextmanager
    def watcher(self, wants: Callable[[Change], bool], key: str) -> Iterator[Watcher]:
        """One more who watches, with that key; is offered all from now on. Raises Unavailable."""
        watcher = Watcher(wants, key)
        with self._lock:
            self._check_room(key)
            self._watchers.add(watcher)
            if not self._reads:
                self._reads = True
                reading = _Reading(self._store)
                threading.Thread(target=self._read, args=(reading,), daemon=True).start()
        try:
            yield watcher
        finally:
            with self._lock:
                self._watchers.discard(watcher)

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
                watcher.wake()

    def __len__(self) -> int:
        return len(self._watchers)

    def _read(self, reading: _Reading) -> None:
        while True:
            self._look.wait(_LOOK_SECONDS)
            self._look.clear()
            with self._lock:
                watchers = tuple(self._watchers)
                if self.closed or not watchers:
                    self._reads = False
                    return
            try:
                news = reading.go_on()
            except Unavailable as problem:
                log.warning("feed_broken", detail=problem.detail)
                continue
            for change in news:
                for watcher in watchers:
                    watcher.offer(change)
            time.sleep(_PAUSE_SECONDS)


class _Reading:
    """How far was read, so that each change is read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._newest = store.now()
        self._seen: set[tuple[float, int]] = set()  #: the last changes: their time, their job

    def go_on(self) -> list[Change]:
        """What was not read before, oldest first."""
        found = list(read(self._store, self._newest - OVERLAP_SECONDS))
        new = [change for change in found if (change.at, change.number) not in self._seen]
        self._seen = {(change.at, change.number) for change in found}
        self._newest = max([self._newest, *(change.at for change in found)])
        return new


def read(store: Store, after: float, tenant: str | None = None) -> Iterator[Change]:
    """All of a tenant's, None: of everybody's, that changed after that Unix time, oldest first;
    a page is read when it is asked for."""
    number = 0
    while page := changes.since(store, after, number, tenant):
        yield from page
        after, number = page[-1].at, page[-1].number
