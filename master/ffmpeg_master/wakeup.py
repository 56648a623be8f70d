"""A claim waits here until there may be work for it.

Only one waiter is woken per job, the one that waits longest. It tries; if the job is not
for it, it wakes the next that has not tried since. So a job goes past each waiter at most
once, and a herd never runs for one job. Plain ``threading``: under gevent, a greenlet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, TypeVar

Found = TypeVar("Found")

#: How soon a claim looks again that was left out for reasons that nobody tells of.
AGAIN_SECONDS: Final = 1.0


class Look(Enum):
    """What a claim that found nothing waits for, beside being woken."""

    AGAIN = "again"  #: a job was left for other workers, and they come and go
    NOTHING = "nothing"  #: no job waits, so that nobody else need look


class _Waiter:
    """One held claim."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.tried_at = -1  #: the generation that it last looked at
        self.dismissed = False
        self.left_one = False  #: at that look, ``Look.AGAIN``
        self.event = threading.Event()


class Wakeup:
    """The claims that are held open, longest first.

    ``tell`` passes a word, what it is about and how often it was said, to the other masters,
    whose ``hears`` knows what to do.
    """

    def __init__(self, tell: Callable[[str, str, int], None] = lambda *_: None) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._waiters: list[_Waiter] = []
        self._generation = 0  #: counts what may have made a job claimable
        self._settled = 0  #: the generation that everyone has looked at, or is woken for
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the process is about to end."""
        return self._closed

    def wait_for(
        self, worker: str, wait_seconds: float, attempt: Callable[[], Found | Look | None]
    ) -> Found | None:
        """The first that ``attempt`` finds, tried now, whenever woken, and after ``Look.AGAIN``
        within AGAIN_SECONDS too.

        None after ``wait_seconds``, at ``close`` and at ``dismiss``.
        """
        deadline = time.monotonic() + wait_seconds
        waiter = _Waiter(worker)
        with self._lock:
            self._waiters.append(waiter)
        looked = False
        try:
            found = self._wait(waiter, deadline, attempt)
            looked = True
            return found
        finally:
            with self._lock:
                self._waiters.remove(waiter)
                # Woken for a job and gone without a whole look, or maybe with the one that it had
                # left before: someone else must look.
                if waiter.event.is_set() or not looked or waiter.left_one:
                    self._wake_next()

    def _wait(
        self, waiter: _Waiter, deadline: float, attempt: Callable[[], Found | Look | None]
    ) -> Found | None:
        while not (self._closed or waiter.dismissed):
            with self._lock:
                waiter.tried_at = self._generation
                waiter.event.clear()
            found = attempt()
            if found is not None and not isinstance(found, Look):
                return found
            waiter.left_one = found is Look.AGAIN
            with self._lock:
                if found is Look.NOTHING and waiter.tried_at == self._generation:
                    self._settled = self._generation
                self._wake_next()
            left_seconds = max(deadline - time.monotonic(), 0)
            again_seconds = AGAIN_SECONDS if waiter.left_one else left_seconds
            pause_seconds = min(left_seconds, again_seconds)
            if not waiter.event.wait(pause_seconds) and pause_seconds == left_seconds:
                return None
        return None

    def wake(self, jobs: int = 1) -> None:
        """``jobs`` jobs may have become claimable; for whoever waits, at whichever master."""
        self.wake_here(jobs)
        self._tell("wake", "", jobs)

    def wake_here(self, jobs: int) -> None:
        """``jobs`` jobs may have become claimable; the other masters know."""
        with self._lock:
            for _ in range(min(jobs, len(self._waiters))):
                self._generation += 1
                self._wake_next()

    def _wake_next(self) -> None:
        if self._settled == self._generation:
            return  # else each of thousands that come and go would look through all
        for waiter in self._waiters:
            if waiter.tried_at < self._generation and not waiter.event.is_set():
                waiter.event.set()
                return
        self._settled = self._generation

    def wake_worker(self, worker: str) -> None:
        """``worker`` may take a job that it could not take before, at whichever master it waits."""
        self._wake_worker_here(worker)
        self._tell("worker", worker, 1)

    def _wake_worker_here(self, worker: str) -> None:
        with self._lock:
            for waiter in self._waiters:
                if waiter.worker == worker:
                    waiter.event.set()
            # It may take, or have taken, what it can take now, and leave the job that it was
            # woken for.
            self._wake_next()

    def dismiss(self, worker: str) -> None:
        """End the claims that ``worker`` holds: it started anew and does not hear them."""
        self._dismiss_here(worker)
        self._tell("dismiss", worker, 1)

    def _dismiss_here(self, worker: str) -> None:
        with self._lock:
            for waiter in self._waiters:
                if waiter.worker == worker:
                    waiter.dismissed = True
                    waiter.event.set()

    @property
    def hears(self) -> Mapping[str, Callable[[str, int], None]]:
        """What to do about a word of another master's."""
        return {
            "wake": lambda _about, times: self.wake_here(times),
            "worker": lambda about, _times: self._wake_worker_here(about),
            "dismiss": lambda about, _times: self._dismiss_here(about),
        }

    def wake_all(self) -> None:
        """Whatever was told meanwhile was not heard here: everyone looks."""
        self.wake_here(len(self))

    def close(self) -> None:
        """End all claims now."""
        self._closed = True
        with self._lock:
            for waiter in self._waiters:
                waiter.event.set()

    def __len__(self) -> int:
        return len(self._waiters)
