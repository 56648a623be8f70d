"""Watching a job: on a terminal, elsewhere, through a restart, and how it ends for a script."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from ffmpeg_jobs.model import Outcome, Reason, State
from tests.api.conftest import PATIENCE_SECONDS
from tests.cli.conftest import COMPLETED, JOB, Cli, Farm, NewJob, Worker, failed, on_terminal


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    yield from (line.rstrip("\n") for line in process.stdout)


def wait_for(seen: Iterator[str], words: str) -> str:
    """The first line that holds ``words``; a command that ended without it fails the test."""
    told = []
    for line in seen:
        told.append(line)
        if words in line:
            return line
    raise AssertionError(f"{words!r} was never said: {told}")


def close(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, errors


def test_a_line_for_each_change(cli: Cli, new_job: NewJob, worker: Worker) -> None:
    claim = worker.take(job_id := new_job())
    worker.progress(claim, 42)
    process = cli.start("watch", job_id)
    seen = lines(process)
    line = wait_for(seen, "42 %")
    assert line == f"{job_id} running, on sim-1, 42 %, frame 42, 24.0 fps, 1.50x, ETA 0:00:12"
    worker.progress(claim, 77)
    wait_for(seen, "77 %")
    worker.end(claim, COMPLETED)
    rest = list(seen)
    assert rest[0] == f"{job_id} completed, on sim-1"
    assert "h264 640x360 24 fps, mp4, 0:00:05, 3.0 MiB" in rest[1]
    assert close(process) == (0, "")


ENDINGS = {
    "completed": (COMPLETED, 0),
    "input_error": (failed(Reason.INPUT_ERROR), 3),
    "encoder_error": (failed(Reason.ENCODER_ERROR), 3),
    "internal_error": (failed(Reason.INTERNAL_ERROR), 3),
    "canceled": (Outcome(State.CANCELED, Reason.CANCELED), 4),
    "timeout": (failed(Reason.TIMEOUT), 5),
    "out_of_memory": (failed(Reason.OUT_OF_MEMORY), 6),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_exit_status_tells_how_it_ended(
    cli: Cli, new_job: NewJob, worker: Worker, ending: str
) -> None:
    outcome, status = ENDINGS[ending]
    worker.end(worker.take(job_id := new_job()), outcome)
    run = cli.run("watch", job_id, "--json")
    assert run.returncode == status
    assert json.loads(run.stdout)["state"] == outcome.state.value
    assert ending in run.stderr


def test_submit_and_watch(cli: Cli, worker: Worker) -> None:
    process = cli.start("submit", *JOB, "--watch")
    job_id = next(lines(process))
    worker.end(worker.take(job_id), failed(Reason.TIMEOUT, "it took too long"))
    status, errors = close(process)
    assert status == 5
    assert "it took too long" in errors


def test_a_terminal_gets_a_bar(cli: Cli, new_job: NewJob, worker: Worker) -> None:
    claim = worker.take(job_id := new_job())
    worker.progress(claim, 42)
    terminal = on_terminal(cli, "watch", job_id)
    assert "━" in terminal.read_until("42 %, frame 42, 24.0 fps, 1.50x, ETA 0:00:12")
    worker.end(claim, COMPLETED)
    ending = terminal.read_to_end()
    assert f"{job_id} completed on sim-1: h264" in ending
    assert ending.rfind("\x1b[?25l") < ending.rfind("\x1b[?25h")  # the cursor is back
    assert terminal.process.returncode == 0


def test_a_narrow_terminal_without_unicode(cli: Cli, new_job: NewJob, worker: Worker) -> None:
    claim = worker.take(job_id := new_job())
    worker.progress(claim, 42)
    terminal = on_terminal(cli, "watch", job_id, columns=30, PYTHONIOENCODING="ascii")
    assert "━" not in terminal.read_until("42 %")
    worker.end(claim, COMPLETED)
    assert "completed" in terminal.read_to_end()
    assert terminal.process.returncode == 0


def test_ctrl_c_leaves_the_job_running(
    cli: Cli, new_job: NewJob, worker: Worker, farm: Farm
) -> None:
    worker.take(job_id := new_job())
    process = cli.start("watch", job_id)
    next(lines(process))
    process.send_signal(signal.SIGINT)
    status, errors = close(process)
    assert status == 130
    assert f"The job goes on. To watch it: ffmpeg-jobs watch {job_id}" in errors
    assert farm.client().job(job_id).state is State.RUNNING


def test_watch_outlives_a_restart_of_the_master(
    cli: Cli, new_job: NewJob, worker: Worker, farm: Farm
) -> None:
    claim = worker.take(job_id := new_job())
    process = cli.start("watch", job_id)
    seen = lines(process)
    wait_for(seen, "running")
    farm.stop()
    wait_for(seen, "the master does not answer, still trying")
    farm.start()
    wait_for(seen, "running")
    worker.end(claim, COMPLETED)
    wait_for(seen, "completed")
    assert close(process) == (0, "")


def test_patience_ends(cli: Cli, new_job: NewJob, worker: Worker, farm: Farm) -> None:
    worker.take(job_id := new_job())
    process = cli.start("watch", job_id, "--patience", "0")
    seen = lines(process)
    wait_for(seen, "running")
    farm.stop()
    status, errors = close(process)
    assert status == 69
    assert f"hint: {farm.url} came from $FFMPEG_JOBS_MASTER" in errors
    assert "Connection refused" in errors
