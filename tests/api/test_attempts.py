"""Every attempt at a job is told: who made it, how it ended, what it used."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.model import Outcome, Reason, Role, State, Usage
from ffmpeg_jobs.problems import NotFound
from tests.api.conftest import JOB, MACHINE, Inside
from tests.conftest import ENGINES

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)


def test_each_attempt_keeps_what_it_used_and_why_it_ended(inside: Inside) -> None:
    client, worker = inside.client(), inside.client(Role.WORKER)
    source = "https://media.example/in.mp4?signature=not-for-others"
    job_id = client.submit(JOB | {"input": source}).id
    assert client.attempts(job_id) == []
    worker.register("ada", MACHINE)
    first = worker.claim("ada", 0)
    assert first is not None
    (running,) = client.attempts(job_id)
    assert (running.attempt, running.worker, running.ended_at) == (1, "ada", None)
    assert (running.given_back, running.outcome) == (False, None)
    worker.release(job_id, 1, first.token, "the worker drains")
    second = worker.claim("ada", 0)
    assert second is not None
    usage = Usage(cpu_seconds=1.5, memory_peak_bytes=1 << 20, wall_seconds=2.0)
    error = "the input cannot be read: signature=not-for-others"
    failed = Outcome(State.FAILED, Reason.INPUT_ERROR, error, (error,), 1, usage)
    worker.finish(job_id, 2, second.token, failed)
    back, last = client.attempts(job_id)
    assert (back.attempt, back.given_back, back.outcome) == (1, True, None)
    assert back.ended_at is not None
    assert last.outcome is not None
    assert (last.given_back, last.outcome.reason) == (False, Reason.INPUT_ERROR)
    assert last.outcome.usage == usage
    assert "not-for-others" not in f"{last.outcome.error}{last.outcome.log_tail}"


def test_of_no_job_there_are_none(inside: Inside) -> None:
    with pytest.raises(NotFound):
        inside.client().attempts("abcdefghijkl")
