"""A worker that cannot do its work says so, and takes no job that another could do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from ffmpeg_jobs.model import Reason, State, WorkerStatus
from tests.unmanaged.conftest import (
    ENVIRONMENT,
    PATIENCE_SECONDS,
    WITHOUT_CAPABILITIES,
    WORKER,
    Farm,
    named,
    until,
)

#: The worker as it is, but for the pauses between its trials.
IMPATIENT = (
    sys.executable,
    "-c",
    "import sys; from ffmpeg_worker import health, main; health.FIRST_PAUSE_SECONDS = 5.0;"
    "sys.argv[0] = 'ffmpeg-worker'; sys.exit(main.main())",
)


def told(farm: Farm) -> WorkerStatus:
    """The worker, as its master knows it."""
    return farm.client.workers()[0]


def get(path: str) -> requests.Response:
    return requests.get(f"http://127.0.0.1:19091{path}", timeout=10)


def health() -> dict[str, Any]:
    found: dict[str, Any] = get("/health").json()
    return found


@pytest.mark.parametrize("closed", ["state", "state/jobs"])
def test_without_a_folder_that_it_may_write_it_does_not_start(
    farm: Farm, tmp_path: Path, closed: str
) -> None:
    """It would register, claim, and fail each job."""
    text = "\n".join(farm.settings).replace(f"{farm.directory}/state", f"{tmp_path}/state")
    (tmp_path / "worker.toml").write_text(text.replace('"w"', '"closed"'))
    (tmp_path / closed).mkdir(parents=True)
    (tmp_path / closed).chmod(0o555)
    done = subprocess.run(
        [*WITHOUT_CAPABILITIES, *WORKER, "--config", str(tmp_path / "worker.toml")],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 78, done.stderr
    assert f"ffmpeg-worker: state_directory: {tmp_path}/state" in done.stderr
    assert "the account" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [worker.name for worker in farm.client.workers()] == ["w"]


def test_a_folder_that_goes_away_holds_it_back_until_it_is_there_again(farm: Farm) -> None:
    until(lambda: told(farm).online and told(farm).held_back is None)
    output, aside = farm.directory / "output", farm.directory / "aside"
    lines = farm.log.count("event=held_back"), farm.log.count("event=takes_jobs_again")
    output.rename(aside)
    why = f"output_roots: {output}: No such file or directory"
    until(lambda: told(farm).held_back == why)
    job = farm.submit(output=str(output / "back.mp4"), parameters={"duration": 1})
    until(lambda: farm.client.job(job).waiting_for)
    assert (health()["status"], health()["held_back"]) == ("degraded", why)
    until(lambda: "\nheld_back 1.0\n" in get("/metrics").text)
    assert farm.client.job(job).attempt == 0
    assert told(farm).machine.output_roots == ()
    aside.rename(output)
    ended = farm.ended(job)
    assert (ended.state, ended.attempt) == (State.COMPLETED, 1)
    until(lambda: told(farm).held_back is None)
    assert (health()["status"], health()["held_back"]) == ("ok", None)
    assert told(farm).machine.output_roots == (str(output),)
    assert farm.log.count("event=held_back") == lines[0] + 1
    assert farm.log.count("event=takes_jobs_again") == lines[1] + 1


def lose(farm: Farm, directory: Path) -> str:
    """A job whose ffmpeg somebody kills, as a machine does that is out of memory."""
    job = farm.submit(parameters={"duration": 3600}, max_attempts=1)
    for pid in until(lambda: named("ffmpeg", directory)):
        os.kill(pid, signal.SIGKILL)
    assert farm.ended(job).reason is Reason.WORKER_LOST
    return job


def test_three_jobs_that_it_loses_in_a_row_hold_it_back(farm: Farm) -> None:
    farm.stop()
    farm.start(IMPATIENT)
    for _ in range(3):
        until(lambda: told(farm).held_back is None)
        lose(farm, farm.directory)
    held_back = until(lambda: told(farm).held_back)
    assert held_back.startswith(
        "3 attempts failed in a row for reasons of this machine, the last with worker_lost: "
    )
    assert health()["status"] == "degraded"
    until(lambda: "\nsick 1.0\n" in get("/metrics").text)
    # Once the pause is over it takes one job, and is well when that completes.
    job = farm.submit(parameters={"duration": 1})
    ended = farm.ended(job)
    assert (ended.state, ended.attempt) == (State.COMPLETED, 1)
    until(lambda: health()["status"] == "ok")
    until(lambda: "\nsick 0.0\n" in get("/metrics").text)
    assert told(farm).held_back is None
    farm.stop()
    farm.start()
