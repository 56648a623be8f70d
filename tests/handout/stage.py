"""Requests to masters in this process that take turns: each goes on until it waits.

What a held claim waits for, and for how long, goes by a clock that the test moves; who goes on
next is the test's to say. So nothing depends on how fast the machine is.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from greenlet import getcurrent, greenlet

from ffmpeg_master import wakeup


@dataclass(frozen=True)
class Rest:
    """What a request waits for."""

    bell: Bell | None  #: None: its turn
    seconds: float
    until: float


class Bell:
    """``threading.Event`` for who takes turns."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._rung = False

    def is_set(self) -> bool:
        return self._rung

    def set(self) -> None:
        self._rung = True

    def clear(self) -> None:
        self._rung = False

    def wait(self, seconds: float) -> bool:
        if not self._rung and seconds > 0:
            self._stage.rest(Rest(self, seconds, self._stage.clock() + seconds))
        return self._rung


class Stage:
    """All requests that have not ended."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.slow = False  #: who is to tell others of what it committed, waits for its turn
        self.turns = random.Random(0)
        self._hub = getcurrent()
        self._resting: dict[Any, Rest] = {}

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have claims wait here."""
        events = SimpleNamespace(Event=lambda: Bell(self), Lock=threading.Lock)
        monkeypatch.setattr(wakeup, "threading", events)
        monkeypatch.setattr(wakeup, "time", SimpleNamespace(monotonic=self.clock))

    def begin(self, work: Callable[[], None]) -> Any:
        """Run ``work`` until it waits, or is over; what to know it by."""
        request = greenlet(work, parent=self._hub)
        request.switch()
        return request

    def rest(self, rest: Rest) -> None:
        """Called within a request."""
        self._resting[getcurrent()] = rest
        self._hub.switch()

    def pause(self) -> None:
        """Likewise: let others go first, if it is slow now."""
        if self.slow and getcurrent() is not self._hub:
            self.rest(Rest(None, 0.0, self.clock()))

    def resting(self, request: Any) -> Rest | None:
        """What it waits for; None: it is over."""
        return self._resting.get(request)

    def ready(self) -> list[Any]:
        """The requests that could go on."""
        now = self.clock()
        return [
            request
            for request, rest in self._resting.items()
            if rest.until <= now or (rest.bell is not None and rest.bell.is_set())
        ]

    def step(self) -> bool:
        """Let one go on; whether there was one."""
        ready = self.ready()
        if ready:
            request = self.turns.choice(ready)
            del self._resting[request]
            request.switch()
        return bool(ready)
