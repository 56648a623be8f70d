"""What must be there before ffmpeg starts, and what is no input."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Claim, Job, Reason
from ffmpeg_worker import jobdir
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import make_plan
from ffmpeg_worker.prepare import prepare
from tests.unit.test_plan import CONFIG


def refusal(tmp_path: Path, source: str, root: Path) -> AttemptError:
    """Why it is not prepared; it must not wait for anything."""
    config = replace(CONFIG, state_directory=tmp_path / "state", input_roots=(root,))
    plan = make_plan(Claim("a" * 12, 1, "t" * 32, 60.0, Job(input=source)), config)
    jobdir.record(plan)
    refusals: list[AttemptError] = []

    def attempt() -> None:
        with pytest.raises(AttemptError) as refused:
            prepare(plan, threading.Event())
        refusals.append(refused.value)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(10)
    assert refusals, "it waits"
    return refusals[0]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_only_a_file_is_an_input(tmp_path: Path, make: Callable[[Path], None]) -> None:
    source = tmp_path / "in.mp4"
    make(source)
    refused = refusal(tmp_path, str(source), tmp_path)
    assert (refused.reason, str(refused)) == (
        Reason.INPUT_ERROR,
        f"input: {source} is not a regular file",
    )


def test_a_device_is_no_input(tmp_path: Path) -> None:
    assert "not a regular file" in str(refusal(tmp_path, "/dev/zero", Path("/dev")))


def test_an_input_that_is_not_there(tmp_path: Path) -> None:
    assert "No such file" in str(refusal(tmp_path, str(tmp_path / "in.mp4"), tmp_path))
