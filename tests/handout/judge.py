"""Who is to get a job now, by what the masters were told and by the pure rules of choosing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from ffmpeg_jobs.model import Heartbeat
from ffmpeg_master import scheduling
from ffmpeg_master.model import Member, Room
from ffmpeg_master.store import claims, workers
from ffmpeg_master.store.claims import Asked, Choices, Given
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.waiting import Lines
from tests.handout.crew import Asks
from tests.handout.farm import LEASE

_CLAIM: Final = claims.claim


@dataclass(frozen=True)
class Told:
    """What the masters know of a worker, beside its jobs."""

    word: Heartbeat | None = None  #: of those that arrived, what it said last
    cordoned: bool = False
    drained: bool = False  #: somebody asked for it

    def hears(self, said: Heartbeat) -> Told:
        """It arrives, maybe late."""
        before = None if self.word is None else self.word.serial
        is_old = before is not None and said.serial is not None and said.serial < before
        return self if is_old else replace(self, word=said)

    def keeps_from(self, serial: int | None) -> bool:
        """Whether the claim with that number is to get nothing."""
        word = self.word
        if self.cordoned or self.drained:
            return True
        if word is None or not (word.draining or word.held_back):
            return False
        return word.serial is None or serial is None or word.serial > serial


class Judge:
    """Watches all that is handed out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.told: dict[str, Told] = {}
        self.faults: list[str] = []
        self._given: set[tuple[str, int]] = set()

    def claim(self, store: Store, asked: Asked, choices: Choices) -> Given:
        """``store.claims.claim``, and what is wrong with it."""
        given = _CLAIM(store, asked, choices)
        told, name = self.told[asked.worker], asked.worker
        if given.claims and told.keeps_from(asked.room.serial):
            self.faults.append(f"{name} got {given.claims} though {told}")
        if len(given.claims) > asked.most:
            self.faults.append(f"{name} got more than it asked for: {given.claims}")
        at = {(claim.job_id, claim.attempt) for claim in given.claims}
        if len(at) < len(given.claims) or at & self._given:
            self.faults.append(f"handed out twice: {at}")
        self._given |= at
        self._check_room(asked, given)
        return given

    def _check_room(self, asked: Asked, given: Given) -> None:
        member, room = self.member(asked.worker, asked.room), asked.room
        lives = sum(claim.job.queue.value == "live" for claim in given.claims)
        others, most = len(given.claims) - lives, member.machine.max_concurrent_jobs
        if not member.machine.preempts:
            others += lives
        before = len(member.running) - len(given.claims)
        places = max(0, most - before) if room.places is None else room.places
        if others > places:
            self.faults.append(f"{others} jobs for {places} places: {asked} {given}")
        if given.claims and not _holds(member):
            self.faults.append(f"more than {asked.worker} has: {member}")

    def member(self, name: str, room: Room) -> Member:
        """The worker as it is to be seen for a claim."""
        found = workers.member(self._store, name, LEASE, replace(room, serial=None))
        away = self.told[name].keeps_from(room.serial)
        return replace(found, draining=False, held_back=away)

    def due(self, asked: Asks) -> str | None:
        """The job that is kept from a claim that waits."""
        room = Room(asked.serial, asked.places, frozenset(asked.leaving))
        with self._store.read():
            lines = Lines(self._store)
            order = scheduling.Order(lines.now, aging_seconds=6)
            fleet = workers.fleet(self._store, LEASE)
            others = [other for other in fleet if other.name != asked.worker]
            member = self.member(asked.worker, room)
            waiting = lines.by(scheduling.urgency(order))
            job = scheduling.choose(waiting, member, lambda: others, order).job
        return None if job is None else job.job_id

    def watch(self, patch: Callable[[Any, str, Any], None]) -> None:
        """Look at all that is handed out from now on."""
        patch(claims, "claim", self.claim)


def _holds(member: Member) -> bool:
    """Whether the machine has the memory that its jobs were promised."""
    taken = [scheduling.reserves(needs, member.machine).memory_mb for needs in member.running]
    return sum(taken) <= scheduling.has(member.machine).memory_mb
