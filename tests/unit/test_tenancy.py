"""What the limits of a tenant say of a job."""

from __future__ import annotations

from typing import Any

import pytest

from ffmpeg_jobs.model import Job, Limits, Queue, TenantLimits
from ffmpeg_jobs.problems import TenantForbids, TenantFull
from ffmpeg_master import tenancy
from ffmpeg_master.model import Needs
from ffmpeg_master.tenancy import Held

NOW = 1_700_000_000.0


def asks(**limits: int) -> Job:
    return Job(resource_limits=Limits(**limits))


@pytest.mark.parametrize(
    ("limits", "job", "words"),
    [
        ({"max_timeout_sec": 60}, asks(timeout_sec=61), "timeout_sec: 61 is not allowed for the"),
        ({"max_cpu_percent": 200}, asks(max_cpu_percent=300), "allowed is at most 200"),
        ({"queues": (Queue.DEFAULT, Queue.BATCH)}, Job(queue=Queue.LIVE), "is default, batch"),
    ],
)
def test_one_job_that_asks_too_much_is_refused_and_told(
    limits: dict[str, Any], job: Job, words: str
) -> None:
    with pytest.raises(TenantForbids, match=words) as refused:
        tenancy.fitted("studio", TenantLimits(**limits), job, 3)
    (error,) = refused.value.members["errors"]
    assert error["field"].startswith("jobs[3].")
    assert "the tenant studio" in refused.value.detail


@pytest.mark.parametrize(
    ("most", "job", "gets"),
    [
        ({"max_timeout_sec": 60}, Job(), {"timeout_sec": 60}),
        ({"max_timeout_sec": 86400}, Job(), {"timeout_sec": 3600}),
        ({"max_timeout_sec": 60}, asks(timeout_sec=5), {"timeout_sec": 5}),
        ({"max_cpu_percent": 400}, Job(), {"max_cpu_percent": 100}),
        ({"max_cpu_percent": 50}, Job(), {"max_cpu_percent": 50}),
        ({"max_running": 1}, Job(), {}),
    ],
)
def test_what_a_job_does_not_ask_is_within_what_it_may_have(
    most: dict[str, Any], job: Job, gets: dict[str, int]
) -> None:
    assert tenancy.fitted("studio", TenantLimits(**most), job) == asks(**gets)


@pytest.mark.parametrize(
    ("most", "held", "cpu", "goes"),
    [
        ({"max_running": 2}, Held(1, 900), None, True),
        ({"max_running": 2}, Held(2, 0), 1, False),
        ({"max_running": 0}, Held(), None, False),
        ({"max_cpu_percent": 300}, Held(2, 200), None, True),
        ({"max_cpu_percent": 300}, Held(2, 201), None, False),
        ({"max_cpu_percent": 300}, Held(2, 201), 99, True),
    ],
)
def test_what_others_hold_decides(
    most: dict[str, Any], held: Held, cpu: int | None, goes: bool
) -> None:
    limits, asked = TenantLimits(**most), Needs(cpu_percent=cpu)
    assert tenancy.lets(limits, held, asked) is goes
    assert (tenancy.holds_back("studio", limits, held, asked) is None) is goes


def test_as_many_are_woken_as_may_start() -> None:
    jobs, cpu = TenantLimits(max_running=5), TenantLimits(max_cpu_percent=500)
    assert tenancy.may_start(jobs, Held(2, 200), 50) == 1  # one place became free
    assert tenancy.may_start(jobs, Held(5, 500), 50) == 0
    assert tenancy.may_start(cpu, Held(2, 200), 100) == 3
    assert tenancy.may_start(TenantLimits(max_running=3, max_cpu_percent=500), Held(2), 1) == 1
    assert tenancy.may_start(TenantLimits(max_running=1), Held(3), 1) == 0  # it was lowered


def test_a_rate_lets_a_minute_s_worth_at_once_and_then_one_by_one() -> None:
    until = 0.0
    for _ in range(6):
        until = tenancy.paid("studio", 6, until, NOW, 1)
    with pytest.raises(TenantFull, match="6 jobs a minute; try again in 10 s") as refused:
        tenancy.paid("studio", 6, until, NOW, 1)
    wait_seconds = refused.value.members["retry_after_seconds"]
    until = tenancy.paid("studio", 6, until, NOW + wait_seconds, 1)
    with pytest.raises(TenantFull):
        tenancy.paid("studio", 6, until, NOW + wait_seconds, 1)
    tenancy.paid("studio", 6, until, NOW + wait_seconds + 60, 6)


def test_more_than_ever_fit_are_not_told_to_wait() -> None:
    with pytest.raises(TenantForbids, match=r"jobs: 7 is not allowed .* at most 6"):
        tenancy.paid("studio", 6, 0.0, NOW, 7)


def test_a_clock_that_was_set_back_costs_a_minute_at_most() -> None:
    with pytest.raises(TenantFull) as refused:
        tenancy.paid("studio", 6, NOW + 1e6, NOW, 6)
    assert refused.value.members["retry_after_seconds"] == 60
