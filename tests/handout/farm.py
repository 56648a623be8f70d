"""Masters of one database in this process, and what they do by themselves, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import structlog
from sqlalchemy import delete

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.model import Role
from ffmpeg_master import config
from ffmpeg_master.housekeeping import OFFER_SECONDS, ROUND_SECONDS, Housekeeping
from ffmpeg_master.master import Master, open_master
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import jobs as jobs_table
from ffmpeg_master.store.tables import workers as workers_table
from ffmpeg_master.wakeup import Wakeup
from tests.api.conftest import Clock, Inside, add_key
from tests.handout.stage import Stage

LEASE = 12.0
#: Less than after which a master counts as away.
LEAP = 3.0


class SlowWakeup(Wakeup):
    """One whose words take their time: what they are about was committed before."""

    def __init__(self, stage: Stage, tell: Callable[[str, str, int], None]) -> None:
        super().__init__(tell)
        self._stage = stage

    def wake(self, jobs: int = 1) -> None:
        self._stage.pause()
        super().wake(jobs)

    def wake_worker(self, worker: str) -> None:
        self._stage.pause()
        super().wake_worker(worker)

    def dismiss(self, worker: str) -> None:
        self._stage.pause()
        super().dismiss(worker)


@dataclass(frozen=True)
class Word:
    """What one master tells the others."""

    by: int
    word: str
    about: str
    times: int


class Farm:
    """The masters, and the words on their way between them."""

    def __init__(self, url: str, number: int) -> None:
        self.clock = Clock()
        self.stage = Stage(self.clock)
        self.words: list[Word] = []
        settings = config.read(None, {"database": url}, {})
        settings = replace(settings, lease_seconds=LEASE, aging_seconds=6, retry_seconds=2)
        self.masters = [self._open(settings, place) for place in range(number)]
        secret = {Role.ADMIN: add_key(self.masters[0], "test", Role.ADMIN)}
        self._housekeeping = [Housekeeping(master) for master in self.masters]
        sides = [
            Inside(master, self.clock, keeper, secret, [])
            for master, keeper in zip(self.masters, self._housekeeping, strict=True)
        ]
        self.clients: list[MasterClient] = [side.client() for side in sides]

    def _open(self, settings: Any, place: int) -> Master:
        def tell(word: str, about: str, times: int) -> None:
            self.words.append(Word(place, word, about, times))

        return replace(open_master(settings, self.clock), wakeup=SlowWakeup(self.stage, tell))

    @property
    def store(self) -> Store:
        return self.masters[0].store

    def close(self) -> None:
        for master in self.masters:
            master.wakeup.close()
        self.settle()
        for master in self.masters:
            master.store.close()

    def empty(self) -> None:
        """Forget all that was."""
        for master in self.masters:
            for name in {waiter.worker for waiter in master.wakeup._waiters}:
                master.wakeup._dismiss_here(name)
        self.settle()
        with self.store.write() as connection:
            connection.execute(delete(jobs_table))
            connection.execute(delete(workers_table))

    def claim(self, where: int, worker: str, serial: int, **more: Any) -> list[str]:
        """A claim that may be held; the jobs that it brings, once they are there."""
        found: list[str] = []

        def ask() -> None:
            claims = self.clients[where].claims(worker, 45, serial, **more).claims
            found.extend(claim.job_id for claim in claims)

        self.stage.begin(ask)
        return found

    @contextmanager
    def late(self) -> Iterator[None]:
        """What is done here is committed, and told to others later."""
        self.stage.slow = True
        yield
        self.stage.slow = False

    def deliver_words(self) -> bool:
        """Whether there were any."""
        words, self.words = self.words, []
        for word in words:
            for place, master in enumerate(self.masters):
                if place != word.by:
                    master.wakeup.hears[word.word](word.about, word.times)
        return bool(words)

    def lose_words(self) -> None:
        """The line between the masters broke, and is mended."""
        self.words.clear()
        for master in self.masters:
            master.wakeup.wake_all()

    def settle(self) -> None:
        """All that can go on does, until each waits for what is not there."""
        self.stage.slow = False
        while self.stage.step() or self.deliver_words():
            pass

    def pass_second(self) -> None:
        """What happens in one, if nobody says anything."""
        for _ in range(round(ROUND_SECONDS / OFFER_SECONDS)):
            self.clock.forward(OFFER_SECONDS)
            for keeper in self._housekeeping:
                keeper.offer()
            self.settle()
        self._round()

    def leap(self) -> None:
        """Longer, and not looked at so closely."""
        self.clock.forward(LEAP)
        self._round()

    def _round(self) -> None:
        for keeper in self._housekeeping:
            keeper.round()
            self.settle()


@contextmanager
def opened(url: str, masters: int) -> Iterator[Farm]:
    """So many masters of one database."""
    with structlog.testing.capture_logs():
        farm = Farm(url, masters)
        yield farm
        farm.close()
