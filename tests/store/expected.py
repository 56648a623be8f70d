"""What the promises say of one job: the model that the state machine is held against."""

from __future__ import annotations

from collections.abc import Mapping

from ffmpeg_jobs.model import RETRIED_REASONS, Claim, Outcome, Reason, State

LEASE = 60.0
RETRY = 5.0
LIVE = (State.RUNNING, State.PAUSED)
OUTCOMES = (
    Outcome(State.COMPLETED),
    Outcome(State.FAILED, Reason.ENCODER_ERROR, "no such encoder"),
    Outcome(State.FAILED, Reason.NETWORK_ERROR, "the server broke off"),
    Outcome(State.CANCELED, Reason.CANCELED, "as asked"),
)


class Expected:
    """A job as the promises have it."""

    def __init__(self, max_attempts: int, now: float, depends_on: tuple[str, ...] = ()) -> None:
        self.max_attempts = self.own = max_attempts
        self.state = State.QUEUED
        self.attempt = 0
        self.tries = 0
        self.given_back = 0
        self.worker: str | None = None
        self.lease_until = 0.0
        self.cancel_requested = False
        self.told: Outcome | str | None = None  #: what the worker of the last attempt told
        self.silent = False  #: the last attempt was given up, because its worker was silent
        self.untouched = False  #: and nobody asked anything of the job since
        self.not_before = now
        self.depends_on = depends_on
        self.waits: set[str] = set()  #: the jobs that it was not told the end of

    def ends(self, outcome: Outcome, now: float) -> None:
        """The attempt that is live ends so."""
        mended = outcome.reason in RETRIED_REASONS and not outcome.final
        again = mended and self.tries < self.max_attempts
        if outcome.state is State.COMPLETED:
            self.state = State.COMPLETED
        elif self.cancel_requested or outcome.state is State.CANCELED:
            self.state = State.CANCELED
        else:
            self.state = State.QUEUED if again else State.FAILED
        # Twice as long each time, and up to a quarter more.
        self.not_before = now + RETRY * 2 ** (self.tries - 1)

    def falls_silent(self, now: float) -> None:
        """Its lease ran out: nobody is to blame, so it waits no longer."""
        self.ends(Outcome(State.FAILED, Reason.WORKER_LOST), now)
        self.not_before, self.silent, self.untouched = now, True, True

    def counts_late(self, outcome: Outcome) -> bool:
        """What is told of an attempt that was given up counts yet."""
        waits = self.state is State.QUEUED and self.untouched
        return self.silent and (outcome.state is State.COMPLETED or waits)

    def live(self, claim: Claim) -> bool:
        return self.state in LIVE and self.attempt == claim.attempt

    def hears(self, model: Mapping[str, Expected], now: float) -> bool:
        """It is told of jobs that ended, and they were before; whether it waits no more."""
        if self.state is not State.QUEUED or not self.waits:
            return False
        states = {other: model[other].state for other in self.waits}
        self.waits = {other for other, state in states.items() if state is not State.COMPLETED}
        if {State.FAILED, State.CANCELED} & set(states.values()):
            self.state = State.FAILED
        elif not self.waits:
            self.not_before = max(self.not_before, now)
            return True
        return False
