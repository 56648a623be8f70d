"""Jobs that end, are ended, or would end others, while nobody but the worker holds them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffmpeg_jobs.model import State
from tests.unmanaged.conftest import (
    ENVIRONMENT,
    PATIENCE_SECONDS,
    WITHOUT_CAPABILITIES,
    WORKER,
    Farm,
    named,
    until,
)


def command(farm: Farm, verb: str, *before: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *WORKER, verb, "--config", str(farm.directory / "worker.toml")],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


@pytest.fixture
def control(farm: Farm) -> Iterator[Path]:
    """The directory of requests, without any afterwards."""
    directory = farm.directory / "state" / "control"
    until((directory / "state.json").exists)
    yield directory
    for name in ("drain", "stop-jobs"):
        (directory / name).unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["drain", "stop-jobs"])
def test_what_failed_while_no_worker_ran_is_told_whatever_is_due(
    farm: Farm, control: Path, name: str
) -> None:
    job = farm.submit(parameters={"duration": 3600})
    directory = farm.holder(job)
    farm.stop()
    os.kill(named("ffmpeg", farm.directory)[0], signal.SIGSEGV)
    until((directory / "facts.json").exists)
    (control / name).write_text(json.dumps({"until": 0}))
    farm.start()
    ended = farm.ended(job)
    assert (ended.state, ended.given_back) == (State.FAILED, 0)
    assert "crashed with signal 11" in str(ended.error)


def test_a_job_cannot_spoil_the_heartbeats(farm: Farm) -> None:
    """It puts something else where its progress should be."""
    job = farm.submit(parameters={"duration": 60, "width": 1280, "height": 720})
    progress = farm.holder(job) / "work" / "progress"
    progress.unlink()
    os.mkfifo(progress)
    assert farm.ended(job).state is State.COMPLETED
    assert farm.worker is not None
    assert farm.worker.poll() is None


@pytest.mark.usefixtures("control")
def test_jobs_are_stopped_also_where_no_worker_runs(farm: Farm) -> None:
    job = farm.submit(parameters={"duration": 3600})
    farm.holder(job)
    farm.stop()
    done = command(farm, "stop-jobs")
    assert (done.returncode, done.stderr) == (
        0,
        "ffmpeg-worker: no worker runs here; 1 jobs were stopped, the next worker gives them "
        "back\n",
    )
    assert named("ffmpeg", farm.directory) == []
    farm.start()
    until(lambda: farm.client.job(job).attempt == 2)
    assert farm.client.job(job).given_back == 1
    farm.client.cancel(job)
    assert farm.ended(job).state is State.CANCELED


@pytest.mark.usefixtures("control")
def test_who_may_not_see_what_runs_is_told_so(farm: Farm) -> None:
    job = farm.submit(parameters={"duration": 3600})
    jobs = farm.holder(job).parent
    farm.stop()
    mode = jobs.stat().st_mode
    jobs.chmod(0)
    done = command(farm, "stop-jobs", *WITHOUT_CAPABILITIES)
    jobs.chmod(mode)
    assert done.returncode == 1
    assert "only root and " in done.stderr
    assert f"{jobs}: Permission denied" in done.stderr
    assert "jobs were stopped" not in done.stderr
    assert len(named("ffmpeg", farm.directory)) == 1
    farm.start()  # which follows the request
    until(lambda: farm.client.job(job).given_back == 1)
    farm.client.cancel(job)
    farm.ended(job)
