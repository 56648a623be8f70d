"""How the database may fail, and since when it does."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog

from ffmpeg_jobs.problems import Unavailable

log = structlog.get_logger()


class Collision(Unavailable):
    """Two transactions met and this one gave way: nothing was changed, and again it will do."""


class Unreachable(Unavailable):
    """The database gives no answer now; nothing says that it is wrong."""


class Locked(Unreachable):
    """Another process has the database to itself."""


@dataclass(frozen=True)
class Trouble:
    """What is wrong since the last transaction that went well."""

    problem: Unavailable
    since: float  #: monotonic seconds


class Troubles:
    """What is wrong with the database: one line of the log when it begins, and one when it ends.

    Of transactions that read and of those that write: a full disk, or a lock, stops these alone.
    """

    def __init__(self) -> None:
        self._now: dict[bool, Trouble] = {}  #: by whether it writes

    @property
    def last(self) -> Unavailable | None:
        """What is wrong now; None: nothing that is known."""
        return next((trouble.problem for trouble in self._now.values()), None)

    def begin(self, problem: Unavailable, *, writes: bool) -> None:
        """A transaction failed. Nothing is wrong with who gave way to another."""
        if writes not in self._now and not isinstance(problem, Collision):
            self._now[writes] = Trouble(problem, time.monotonic())
            log.error("database_broken", writes=writes, detail=problem.detail)

    def end(self, *, writes: bool) -> None:
        """A transaction went well."""
        if writes in self._now:
            trouble = self._now.pop(writes)
            seconds = round(time.monotonic() - trouble.since, 1)
            log.warning("database_works_again", writes=writes, seconds=seconds)
