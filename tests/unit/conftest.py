"""Attempts whose encode is done, and that are about to be published."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.model import Claim, Job, Reason
from ffmpeg_worker import jobdir
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import Plan, make_plan
from ffmpeg_worker.prepare import prepare
from ffmpeg_worker.publish import publish_file
from ffmpeg_worker.rights import Rights
from tests.unit.test_plan import CONFIG

Make = Callable[..., Plan]


def surely() -> bool:
    return True


@pytest.fixture
def attempt(tmp_path: Path) -> Make:
    """Makes a staged attempt at out/film.mp4, whose encode is ``new``."""
    (tmp_path / "out").mkdir()

    def make(number: int = 1, job_id: str = "abcdefghijkl", **how: Any) -> Plan:
        rights = how.pop("rights", Rights())
        place = how.pop("output", str(tmp_path / "out/film.mp4"))
        config = replace(
            CONFIG,
            state_directory=tmp_path / "state",
            input_roots=(tmp_path,),
            output_roots=(tmp_path / "out",),
            rights=rights,
        )
        claim = Claim(job_id, number, "t" * 32, 60.0, Job(output=place, **how))
        plan = make_plan(claim, config)
        jobdir.record(plan)
        with prepare(plan, threading.Event()):
            Path(str(plan.staged)).write_bytes(b"new")
        return plan

    return make


def published(plan: Plan) -> bool:
    return publish_file(plan, surely, pauses_seconds=())


def refused(call: Callable[[], object]) -> AttemptError:
    with pytest.raises(AttemptError) as refusal:
        call()
    assert refusal.value.reason is Reason.OUTPUT_ERROR
    return refusal.value


def film(tmp_path: Path) -> Path:
    return tmp_path / "out/film.mp4"
