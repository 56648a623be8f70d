"""A machine that fails job after job sets itself aside, and tries again."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.model import Claim, Job, Outcome, Reason, State
from ffmpeg_worker.health import FAILURES, FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS, Health

DONE = Outcome(State.COMPLETED)


class Clock:
    """Its time is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def claim(number: int) -> Claim:
    return Claim("a" * 12, number, "t" * 32, 60.0, Job())


def failed(reason: Reason = Reason.INTERNAL_ERROR, error: str = "no sandbox") -> Outcome:
    return Outcome(State.FAILED, reason, error)


def end(health: Health, number: int, outcome: Outcome, by: str | None = None) -> None:
    """An attempt from its claim to its end."""
    health.took(claim(number))
    health.started()
    health.ended(claim(number), outcome, by)
    health.left(claim(number))


def not_started(health: Health, number: int, why: str = "systemd refused") -> bool:
    health.took(claim(number))
    known = health.not_started(claim(number), why)
    if not known:  # its outcome is told as any other
        health.ended(claim(number), failed(Reason.WORKER_LOST, why), None)
    health.left(claim(number))
    return known


def may_take(health: Health) -> bool:
    """Whether a sick machine is given the one job that is tried."""
    return health.held_back is None and health.trial is not None and not health.under_trial


def is_well(health: Health) -> bool:
    return health.held_back is None and health.trial is None


def sick() -> tuple[Health, Clock]:
    clock = Clock()
    health = Health(clock)
    for number in range(FAILURES):
        end(health, number, failed())
    return health, clock


@pytest.mark.parametrize("reason", [Reason.INTERNAL_ERROR, Reason.DISK_FULL, Reason.WORKER_LOST])
def test_three_failures_of_the_machine_in_a_row_hold_it_back(reason: Reason) -> None:
    health = Health(Clock())
    for number in range(FAILURES):
        assert health.held_back is None
        end(health, number, failed(reason, "it is so"))
    assert health.held_back == (
        f"3 attempts failed in a row for reasons of this machine, the last with {reason.value}: "
        "it is so; one job is tried every 30 s"
    )


def test_who_completes_one_between_is_well() -> None:
    health = Health(Clock())
    for number, outcome in enumerate((failed(), failed(), DONE, failed(), failed())):
        end(health, number, outcome)
    assert (health.held_back, health.trial) == (None, None)


@pytest.mark.parametrize(
    ("outcome", "by"),
    [
        (failed(Reason.INPUT_ERROR), None),
        (failed(Reason.ENCODER_ERROR), None),
        (failed(Reason.TIMEOUT), None),
        (failed(Reason.DISK_FULL), "disk"),
        (Outcome(State.CANCELED, Reason.CANCELED), "cancel"),
    ],
)
def test_a_job_s_own_fault_says_nothing_of_the_machine(outcome: Outcome, by: str | None) -> None:
    health = Health(Clock())
    for number in range(10):
        end(health, number, outcome, by)
    assert health.trial is None


def test_what_an_earlier_worker_left_says_nothing() -> None:
    """After the machine was started anew, all that ran is lost at once."""
    health = Health(Clock())
    for number in range(10):
        health.ended(claim(number), failed(Reason.WORKER_LOST), None)
    assert health.trial is None


def test_one_job_is_tried_after_pauses_that_grow() -> None:
    health, clock = sick()
    pause, number = FIRST_PAUSE_SECONDS, 10
    pauses: list[float] = []
    while len(pauses) < 8:
        clock.now += pause - 1
        assert health.held_back is not None
        clock.now += 1
        assert may_take(health)
        health.took(claim(number))
        assert health.under_trial  # and so nobody else
        health.ended(claim(number), failed(), None)
        health.left(claim(number))
        pauses.append(pause)
        number, pause = number + 1, min(2 * pause, LAST_PAUSE_SECONDS)
    assert pauses == [30, 60, 120, 240, 480, 900, 900, 900]


def test_a_trial_that_completes_makes_it_well() -> None:
    health, clock = sick()
    clock.now += FIRST_PAUSE_SECONDS
    end(health, 10, DONE)
    assert (health.held_back, health.trial) == (None, None)
    end(health, 11, failed())
    assert health.trial is None


def test_a_trial_that_tells_nothing_is_followed_by_the_next() -> None:
    health, clock = sick()
    clock.now += FIRST_PAUSE_SECONDS
    end(health, 10, failed(Reason.INPUT_ERROR))
    assert (health.held_back, health.under_trial) == (None, False)
    assert health.trial is not None


def test_what_still_runs_and_fails_beside_makes_no_pause_longer() -> None:
    clock = Clock()
    health = Health(clock)
    for number in range(10):
        health.took(claim(number))
    for number in range(10):
        health.ended(claim(number), failed(), None)
        health.left(claim(number))
    clock.now += FIRST_PAUSE_SECONDS
    assert health.held_back is None


def test_two_starts_that_fail_in_a_row_hold_it_back() -> None:
    health = Health(Clock())
    assert not not_started(health, 1)
    assert health.held_back is None
    assert not not_started(health, 2)
    assert health.held_back == (
        "2 jobs in a row could not be started: systemd refused; one job is tried every 30 s"
    )


def test_what_fails_to_start_on_a_sick_machine_costs_no_try() -> None:
    """Many are taken at once, and fail together."""
    health = Health(Clock())
    for number in range(16):
        health.took(claim(number))
    known = [health.not_started(claim(number), "refused") for number in range(16)]
    assert known == [False, False, *[True] * 14]


def test_a_start_between_makes_it_well() -> None:
    health = Health(Clock())
    not_started(health, 1)
    end(health, 2, failed(Reason.INPUT_ERROR))
    not_started(health, 3)
    assert health.trial is None


def test_a_trial_that_starts_is_enough_where_none_did() -> None:
    clock = Clock()
    health = Health(clock)
    not_started(health, 1)
    not_started(health, 2)
    clock.now += FIRST_PAUSE_SECONDS
    assert not not_started(health, 3)  # no job is tried for ever
    assert health.held_back is not None
    clock.now += 2 * FIRST_PAUSE_SECONDS
    health.took(claim(4))
    assert health.under_trial
    health.started()
    assert is_well(health)
