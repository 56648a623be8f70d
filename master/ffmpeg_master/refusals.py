"""Refusals that an operator wants to see, a few lines of each address however often it comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog

from ffmpeg_jobs.problems import Problem
from ffmpeg_master.guard import house

#: Somebody tries what they may not.
TOLD: Final = (401, 403, 429)
#: Lines for an address within WINDOW_SECONDS: more than the guard lets wrong keys come at once.
LINES_MOST: Final = 20
WINDOW_SECONDS: Final = 60.0
#: Addresses remembered; beyond that, those forgotten first that began longest ago.
_ADDRESSES_MOST: Final = 10_000

log = structlog.get_logger()


@dataclass(frozen=True)
class _Window:
    """What came of an address lately."""

    until: float
    lines: int = 0
    untold: int = 0


class Refusals:
    """Tells the log of them, so that nobody can fill a disk by being refused."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[str, _Window] = {}  #: in the order in which they began

    def tell(self, method: str, path: str, address: str, problem: Problem) -> None:
        """One line, ``untold`` with how many before it had none; or none, if many came lately."""
        if problem.status not in TOLD:
            return
        home = house(address)
        window = self._window(home)
        if window.lines == LINES_MOST:
            self._windows[home] = replace(window, untold=window.untold + 1)
            return
        self._windows[home] = replace(window, lines=window.lines + 1, untold=0)
        untold = {"untold": window.untold} if window.untold else {}
        what = {"status": problem.status, "detail": problem.detail, **untold}
        log.warning("request_refused", method=method, path=path, address=address, **what)

    def _window(self, home: str) -> _Window:
        now, known = self._clock(), self._windows.get(home)
        if known is not None and now < known.until:
            return known
        self._windows.pop(home, None)  # the next is put at the end
        if len(self._windows) >= _ADDRESSES_MOST:
            self._windows.pop(next(iter(self._windows)))
        return _Window(now + WINDOW_SECONDS, untold=known.untold if known is not None else 0)
