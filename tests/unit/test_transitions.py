"""What becomes of a job when an attempt at it ends."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.model import RETRIED_REASONS, Outcome, Reason, State
from ffmpeg_master.store.transitions import (
    GIVE_BACKS_MAX,
    RETRY_MAX_SECONDS,
    Next,
    after,
    after_give_back,
)


def follow(outcome: Outcome, attempt: int = 1, cancel: bool = False, chance: float = 0.0) -> Next:
    return after(
        outcome,
        tries=attempt,
        max_attempts=3,
        cancel_requested=cancel,
        retry_seconds=5,
        chance=chance,
    )


@pytest.mark.parametrize("reason", sorted(RETRIED_REASONS))
def test_another_try_can_mend_it(reason: Reason) -> None:
    assert follow(Outcome(State.FAILED, reason)) == Next(State.QUEUED, 5)


@pytest.mark.parametrize("reason", sorted(RETRIED_REASONS))
def test_what_would_end_the_same_way_is_not_tried_again(reason: Reason) -> None:
    assert follow(Outcome(State.FAILED, reason, final=True)) == Next(State.FAILED)


@pytest.mark.parametrize("reason", sorted(set(Reason) - RETRIED_REASONS))
def test_the_job_s_own_fault_ends_it(reason: Reason) -> None:
    assert follow(Outcome(State.FAILED, reason)) == Next(State.FAILED)


def test_the_last_attempt_is_the_last() -> None:
    lost = Outcome(State.FAILED, Reason.WORKER_LOST)
    assert follow(lost, attempt=2).state is State.QUEUED
    assert follow(lost, attempt=3).state is State.FAILED


def test_waits_double_up_to_five_minutes_and_part_ways() -> None:
    lost = Outcome(State.FAILED, Reason.WORKER_LOST)
    assert follow(lost, attempt=2).wait_seconds == 10
    assert 10 < follow(lost, attempt=2, chance=0.5).wait_seconds <= 12.5
    late = after(lost, tries=15, max_attempts=20, cancel_requested=False, retry_seconds=5, chance=0)
    assert late.wait_seconds == RETRY_MAX_SECONDS


@pytest.mark.parametrize("reason", [None, *sorted(Reason)])
def test_a_canceled_job_is_not_tried_again(reason: Reason | None) -> None:
    assert follow(Outcome(State.FAILED, reason), cancel=True) == Next(State.CANCELED)
    assert follow(Outcome(State.CANCELED, reason)) == Next(State.CANCELED)


def test_an_output_that_was_published_counts() -> None:
    assert follow(Outcome(State.COMPLETED), cancel=True) == Next(State.COMPLETED)


def test_what_was_not_made_waits_for_nothing_but_not_for_ever() -> None:
    assert after_give_back(given_back=0, cancel_requested=False) == Next(State.QUEUED)
    assert after_give_back(given_back=0, cancel_requested=True) == Next(State.CANCELED)
    assert after_give_back(given_back=GIVE_BACKS_MAX, cancel_requested=False) is None
