"""What becomes of a job when an attempt at it ends (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ffmpeg_jobs.model import RETRIED_REASONS, Outcome, Reason, State

#: The longest wait between two attempts, in seconds.
RETRY_MAX_SECONDS: Final = 300.0
#: So often a job may be given back without a try of its own: what has workers fall over it
#: must not go round for ever.
GIVE_BACKS_MAX: Final = 20
#: A wait is up to this part longer, so that jobs that failed together part ways.
_JITTER: Final = 0.25


@dataclass(frozen=True)
class Next:
    """Where a job goes: a final state, or the queue again after ``wait_seconds``."""

    state: State
    wait_seconds: float = 0.0


def after(
    outcome: Outcome,
    *,
    tries: int,
    max_attempts: int,
    cancel_requested: bool,
    retry_seconds: float,
    chance: float,
) -> Next:
    """What follows ``outcome``. ``tries``: attempts that were made, with this one;
    ``chance``: 0 to 1, spreads retries.

    An output that was published before the cancel reached its worker stays completed.
    """
    if outcome.state is State.COMPLETED:
        return Next(State.COMPLETED)
    if cancel_requested or outcome.state is State.CANCELED:
        return Next(State.CANCELED)
    if outcome.reason in RETRIED_REASONS and not outcome.final and tries < max_attempts:
        return Next(State.QUEUED, _backoff(tries, retry_seconds, chance))
    return Next(State.FAILED)


def after_give_back(*, given_back: int, cancel_requested: bool) -> Next | None:
    """What follows an attempt that was not made; None: it happened too often and counts as one.

    ``given_back``: how often before.
    """
    if cancel_requested:
        return Next(State.CANCELED)
    return Next(State.QUEUED) if given_back < GIVE_BACKS_MAX else None


def _backoff(tries: int, retry_seconds: float, chance: float) -> float:
    wait = min(retry_seconds * 2.0 ** (tries - 1), RETRY_MAX_SECONDS)
    return wait * (1 + _JITTER * chance)


def lost(worker: str, silent_seconds: float) -> Outcome:
    """The outcome of an attempt whose lease ran out."""
    sentence = f"the worker {worker} gave no sign of life for {silent_seconds:.0f} s"
    return Outcome(State.FAILED, Reason.WORKER_LOST, sentence)


def suspected(outcome: Outcome, lost: Sequence[str]) -> Outcome:
    """``outcome`` of a job that has no try left, after it took ``lost`` workers, in turn."""
    if len(lost) < 2:
        return outcome
    names = ", ".join(dict.fromkeys(lost))
    words = f"{outcome.error}; {len(lost)} attempts ended so ({names}): the job may be the cause"
    return replace(outcome, error=words)


def given_up(why: str) -> Outcome:
    """The outcome of an attempt that was given back once too often."""
    sentence = f"given back {GIVE_BACKS_MAX + 1} times, the last time because {why}"
    return Outcome(State.FAILED, Reason.WORKER_LOST, sentence)
