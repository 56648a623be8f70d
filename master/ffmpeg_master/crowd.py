"""How many connections each address has: no one takes the places of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from ffmpeg_master.config import Config
from ffmpeg_master.guard import house
from ffmpeg_master.origin import trusts

log = structlog.get_logger()


class Crowd:
    """The connections of a serving process, by their addresses."""

    def __init__(self, config: Config) -> None:
        self._most = config.connections_per_address
        self._proxies = config.trusted_proxies
        self._here: Counter[str] = Counter()
        self._told: set[str] = set()  #: those of which the log says that they are too many

    @contextmanager
    def place(self, addr: Any) -> Iterator[bool]:
        """Whether one more from ``addr``, as accept(2) tells it, is let in; as long as it is there.

        Those of a socket in the file system and of trusted proxies are not counted: many stand
        behind them.
        """
        address = addr[0] if isinstance(addr, tuple) else ""
        if not address or trusts(address, self._proxies):
            yield True
            return
        home = house(address)
        if self._here[home] >= self._most:
            self._tell(home, address)
            yield False
            return
        self._here[home] += 1
        try:
            yield True
        finally:
            self._leave(home)

    def _tell(self, home: str, address: str) -> None:
        if home not in self._told:  # once, until it has left
            self._told.add(home)
            log.warning("too_many_connections", address=address, most=self._most)

    def _leave(self, home: str) -> None:
        self._here[home] -= 1
        if self._here[home] <= self._most // 2:
            self._told.discard(home)
        if not self._here[home]:
            del self._here[home]
