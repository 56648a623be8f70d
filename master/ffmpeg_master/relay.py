"""What one master tells the others of its database, as soon as it happens.

A notice only says where to look: if one is lost with a connection, the look at the reconnect,
and the housekeeping's each second, make up for it.
"""

from __future__ import annotations

import os
import re
import select
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Final

import structlog

from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.notices import NOTICE_MAX_BYTES, Line
from ffmpeg_master.store.troubles import Unreachable

log = structlog.get_logger()

#: Between two tries to connect.
_CONNECT_AGAIN_SECONDS: Final = 1.0

#: As ``_notices`` writes it; anybody who may use the database may tell anything.
_ROW: Final = re.compile(r"(?P<word>\S+) (?P<about>\S*) (?P<times>[0-9]{1,9})")
#: What to do about a word, given what it is about ("" for nothing) and how often it was told.
Hears = Mapping[str, Callable[[str, int], None]]


class Relay:
    """Tells and hears, until ``stop``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._untold: Counter[tuple[str, str]] = Counter()
        #: A pipe: something is to be told, or it is time to stop.
        self._ear, self._bell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if store.shared else (-1, -1)
        self._stopped = threading.Event()

    def start(self, hears: Hears, connected: Callable[[], None]) -> None:
        """Begin, if there may be others. ``connected`` is called after each gap in hearing."""
        if self._store.shared:
            arguments = (hears, connected)
            threading.Thread(target=self._loop, args=arguments, name="relay", daemon=True).start()

    def stop(self) -> None:
        """End soon."""
        self._stopped.set()
        if self._store.shared:
            self._ring()

    def tell(self, word: str, about: str = "", times: int = 1) -> None:
        """Tell the other masters; returns at once. ``word`` and ``about`` hold no space."""
        if self._store.shared:
            with self._lock:
                self._untold[word, about] += times
            self._ring()

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # full: it rings already
            os.write(self._bell, b".")

    def _loop(self, hears: Hears, connected: Callable[[], None]) -> None:
        while not self._stopped.is_set():
            try:
                with closing(Line(self._store)) as line:
                    connected()
                    self._talk(line, hears)
            except Unavailable as problem:
                log.warning("relay_broken", detail=problem.detail)
                self._stopped.wait(_CONNECT_AGAIN_SECONDS)

    def _talk(self, line: Line, hears: Hears) -> None:
        poll = select.poll()
        poll.register(line.fileno(), select.POLLIN)
        poll.register(self._ear, select.POLLIN)
        while not self._stopped.is_set():
            self._tell_all(line)
            # After that: what comes in while we tell makes no sound of its own.
            for notice in line.heard():
                _hear(notice, hears)
            poll.poll()
            with suppress(BlockingIOError):
                os.read(self._ear, 65536)

    def _tell_all(self, line: Line) -> None:
        with self._lock:
            untold, self._untold = self._untold, Counter()
        try:
            for notice in _notices(untold):
                line.tell(notice)
        except Unreachable:
            with self._lock:  # for the next line; what is told twice does no harm
                self._untold += untold
            raise


def _hear(notice: str, hears: Hears) -> None:
    for row in notice.splitlines():
        said = _ROW.fullmatch(row)
        if said is None:
            log.warning("notice_malformed", row=row)
        elif said["word"] in hears:  # else a newer master's
            hears[said["word"]](said["about"], int(said["times"]))


def _notices(untold: Counter[tuple[str, str]]) -> list[str]:
    """Rows of ``word about times``, in as few notices as they fit in."""
    notices = [""]
    for (word, about), times in untold.items():
        row = f"{word} {about} {times}\n"
        if len((notices[-1] + row).encode()) > NOTICE_MAX_BYTES:
            notices.append("")
        notices[-1] += row
    return [notice for notice in notices if notice]
