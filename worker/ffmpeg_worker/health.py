"""Whether this machine can do its work, by how the attempts on it ended.

A sick one would take job after job and fail each. It sets itself aside instead, and tries one job
after each pause, until one does well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ffmpeg_jobs.model import Claim, Outcome, Reason, State

#: What ends an attempt for the machine's sake, and not for the job's.
MACHINES_OWN: Final = (Reason.INTERNAL_ERROR, Reason.DISK_FULL, Reason.WORKER_LOST)
#: So many such attempts with none completed between them are no chance.
FAILURES: Final = 3
#: Starts that failed in a row: a job has no part in its start.
STARTS: Final = 2
#: Between the tries of a sick machine, each twice as long as the one before.
FIRST_PAUSE_SECONDS: Final = 30.0
LAST_PAUSE_SECONDS: Final = 900.0
#: Of the last error, for the sentence.
_ERROR_CHARACTERS: Final = 500

#: Job and number of an attempt.
Key = tuple[str, int]


@dataclass(frozen=True)
class Illness:
    """Why no job is taken."""

    why: str
    by_start: bool  #: a job that starts ends it; else one that completes
    pause_seconds: float
    until: float  #: by the clock; then one job at a time is tried

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.why}; one job is tried every {self.pause_seconds:.0f} s"


class Health:
    """What is known of it; one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Well, until it shows otherwise. ``clock``: in seconds."""
        self._clock = clock
        self.illness: Illness | None = None
        self._failures = 0
        self._starts = 0
        self._counted: set[Key] = set()  #: attempts whose failure is still to be counted
        self._trials: set[Key] = set()

    @property
    def held_back(self) -> str | None:
        """Why no job is taken now; None: it is, if only one."""
        ill = self.illness
        return ill.words if ill is not None and self._clock() < ill.until else None

    @property
    def trial(self) -> str | None:
        """Why one job at a time is taken; None: as many as there is room for."""
        return None if self.illness is None else f"one job is tried: {self.illness.why}"

    @property
    def under_trial(self) -> bool:
        """Whether the one job is here that is tried."""
        return self.illness is not None and bool(self._trials)

    def took(self, claim: Claim) -> None:
        """An attempt begins; of one that another worker process left, nothing is to be learned."""
        self._counted.add(_key(claim))
        if self.illness is not None:
            self._trials.add(_key(claim))

    def left(self, claim: Claim) -> None:
        """An attempt is over, however that came."""
        self._counted.discard(_key(claim))
        self._trials.discard(_key(claim))

    def started(self) -> None:
        """A job was put under its limits."""
        self._starts = 0
        if self.illness is not None and self.illness.by_start:
            self._recover()

    def not_started(self, claim: Claim, why: str) -> bool:
        """A job could not be started; whether that is its machine's known illness, which is to
        cost no job a try."""
        self._counted.discard(_key(claim))
        self._starts += 1
        if self.illness is not None and _key(claim) not in self._trials:
            return True
        if self.illness is not None or self._starts >= STARTS:
            words = f"{self._starts} jobs in a row could not be started: {why}"
            self._fall_ill(claim, words, by_start=True)
        return False

    def ended(self, claim: Claim, outcome: Outcome, asked_by: str | None) -> None:
        """An attempt ended; ``asked_by``: who had it stopped. Over its disk, a job fails by its
        own fault."""
        if outcome.state is State.COMPLETED:
            self._failures = 0
            if self.illness is not None:
                self._recover()
            return
        machines_own = outcome.reason in MACHINES_OWN and asked_by != "disk"
        if not machines_own or _key(claim) not in self._counted:
            return
        self._failures += 1
        tried = self.illness is not None and _key(claim) in self._trials
        if tried or (self.illness is None and self._failures >= FAILURES):
            why = (
                f"{self._failures} attempts failed in a row for reasons of this machine, the "
                f"last with {outcome.reason.value if outcome.reason else None}: {outcome.error}"
            )
            self._fall_ill(claim, why, by_start=False)

    def _fall_ill(self, claim: Claim, why: str, *, by_start: bool) -> None:
        before = self.illness
        pause = FIRST_PAUSE_SECONDS
        if before is not None:
            pause = min(2 * before.pause_seconds, LAST_PAUSE_SECONDS)
            by_start = by_start and before.by_start
        self._trials.discard(_key(claim))
        until = self._clock() + pause
        self.illness = Illness(why[:_ERROR_CHARACTERS], by_start, pause, until)

    def _recover(self) -> None:
        self.illness = None
        self._failures = self._starts = 0
        self._trials.clear()


def _key(claim: Claim) -> Key:
    return claim.job_id, claim.attempt
