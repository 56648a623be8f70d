"""Names the request that keeps the one serving process at work for long, while it still does.

A thread of the system's own looks: greenlets give way when they wait, and what computes does not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final

import gevent
import structlog
from gevent.monkey import get_original

log = structlog.get_logger()

#: Of one request, without giving way: nothing else is answered meanwhile.
LONG_SECONDS: Final = 1.0
#: Between two looks.
_LOOK_SECONDS: Final = 0.25
#: Frames that are looked through for the request.
_DEPTH_MOST: Final = 200


class Watch:
    """Of the thread that it was made in, and of the requests that run in ``answering``.

    ``answering``: the function that answers requests; ``words`` tells the log of one, by what its
    variables are.
    """

    def __init__(self, answering: CodeType, words: Callable[[Any], dict[str, Any]]) -> None:
        self._answering = answering
        self._words = words
        self._thread = get_original("threading", "get_ident")()
        self._clock = time.pthread_getcpuclockid(self._thread)
        self._beat = 0.0  #: CPU seconds of the thread when it last gave way
        self._told_beat = -1.0  #: of that which the log was told of

    def start(self) -> None:
        """Watch, for as long as the process lives."""
        gevent.spawn(self._tick)
        get_original("_thread", "start_new_thread")(self._look_on, ())

    def _tick(self) -> None:
        while True:
            self._beat = time.clock_gettime(self._clock)
            gevent.sleep(_LOOK_SECONDS)

    def _look_on(self) -> None:
        sleep = get_original("time", "sleep")
        while True:
            sleep(_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Tell of the request that is at work for long, once."""
        beat = self._beat
        spent = time.clock_gettime(self._clock) - beat
        if spent < LONG_SECONDS or beat == self._told_beat:
            return
        self._told_beat = beat
        frame = self._find()
        what = {} if frame is None else self._words(frame.f_locals)
        log.error("request_is_long", cpu_seconds=round(spent, 1), **what)

    def _find(self) -> FrameType | None:
        frame = sys._current_frames().get(self._thread)
        for _ in range(_DEPTH_MOST):
            if frame is None or frame.f_code is self._answering:
                return frame
            frame = frame.f_back
        return None
