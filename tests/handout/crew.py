"""A worker as the masters know it: what it says, and what it makes of what it hears.

Whatever it says is put in the post; when, how often and where it arrives, and whether it hears
the answer, is somebody else's to decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.model import (
    Claim,
    Claimed,
    Heartbeat,
    HeartbeatAnswer,
    Machine,
    Order,
    Outcome,
    Reason,
    Report,
    Result,
    State,
)

#: An attempt: a job's id, and the attempt's number.
At = tuple[str, int]

#: How long a claim is held open, in seconds.
WAIT = 45.0


@dataclass(frozen=True)
class Asks:
    """A claim."""

    worker: str
    serial: int | None
    places: int | None = None
    leaving: tuple[At, ...] = ()
    most: int = 1
    results: tuple[Result, ...] = ()


@dataclass(frozen=True)
class Message:
    """Something that is said to a master."""

    said: Heartbeat | Asks | None
    worker: str
    send: Callable[[MasterClient], Any]
    hear: Callable[[Any], object]


class Worker:
    """One of the crew."""

    def __init__(
        self, name: str, machine: Machine, post: list[Message], *, counts: bool = True
    ) -> None:
        """``counts``: it numbers what it says, and says with a claim what room it has."""
        self.name, self.machine, self.post, self.counts = name, machine, post, counts
        self.serial = self.claim_serial = 0
        self.draining = False
        self.held_back: str | None = None
        self.forget()

    def forget(self) -> None:
        """It starts anew."""
        self.running: dict[At, Claim] = {}
        self.untold: dict[At, Result] = {}
        self.asked: Asks | None = None  #: the claim whose answer it waits for
        self.serial += 1000

    @property
    def places(self) -> int:
        return max(0, self.machine.max_concurrent_jobs - len(self.running))

    @property
    def may_ask(self) -> bool:
        has_room = self.places > 0 or self.machine.preempts
        return has_room and not self.draining and self.held_back is None

    def beat(self) -> None:
        """Say how it is."""
        serial = self._next()
        held: list[Claim | Result] = [*self.running.values(), *self.untold.values()]
        reports = tuple(Report(one.job_id, one.attempt, one.token) for one in held)
        # Its claims are numbered, if nothing else is.
        said = Heartbeat(
            reports,
            draining=self.draining,
            held_back=self.held_back,
            claim_serial=self.claim_serial,
            serial=serial if self.counts else None,
        )
        self._say(said, lambda client: client.heartbeat(self.name, said), self._obey)

    def ask(self, most: int, *, brings: bool) -> None:
        """Claim, whether the one before was answered or not; ``brings``: results go along."""
        self.claim_serial = serial = self._next()
        results = tuple(self.untold.values()) if brings else ()
        leaving = () if brings else tuple(self.untold)
        asked = Asks(self.name, serial, most=most, results=results)
        if self.counts:
            asked = Asks(self.name, serial, self.places, leaving, most, results)
        self.asked = asked

        def send(client: MasterClient) -> Claimed:
            return client.claims(
                self.name,
                WAIT,
                serial,
                most=most,
                results=results,
                places=asked.places,
                leaving=asked.leaving,
            )

        def hear(given: Claimed) -> None:
            if self.asked is not asked:  # it gave up
                return
            self.asked = None
            for result in results:
                self.untold.pop((result.job_id, result.attempt), None)
            for claim in given.claims:
                self.running[claim.job_id, claim.attempt] = claim

        self._say(asked, send, hear)

    def end(self, at: At, outcome: Outcome) -> None:
        """Of one that runs: it is still to be told."""
        claim = self.running.pop(at)
        self.untold[at] = Result(*at, claim.token, outcome)

    def tell(self, at: At) -> None:
        """How it ended, alone."""
        result = self.untold[at]

        def send(client: MasterClient) -> None:
            client.finish(*at, result.token, result.outcome)

        self._say(None, send, lambda _: self.untold.pop(at, None))

    def give_back(self, at: At) -> None:
        """One that it does not make."""
        claim = self.running.pop(at)
        self._say(None, lambda client: client.release(*at, claim.token, "no room"), _nothing)

    def put_log(self, at: At) -> None:
        """Of one that runs."""
        claim = self.running[at]
        self._say(None, lambda client: client.put_log(*at, claim.token, b"log"), _nothing)

    def _next(self) -> int:
        self.serial += 1
        return self.serial

    def _say(
        self,
        said: Heartbeat | Asks | None,
        send: Callable[[MasterClient], Any],
        hear: Callable[[Any], object],
    ) -> None:
        self.post.append(Message(said, self.name, send, hear))

    def _obey(self, answer: HeartbeatAnswer) -> None:
        self.serial = max(self.serial, answer.serial or 0)
        self.draining = answer.drain
        for order in answer.orders:
            at = (order.job_id, order.attempt)
            if order.order is Order.LOST:
                self.running.pop(at, None)
                self.untold.pop(at, None)
            elif order.order is Order.CANCEL and at in self.running:
                self.end(at, Outcome(State.CANCELED, Reason.CANCELED))


def _nothing(_: object) -> None:
    pass
