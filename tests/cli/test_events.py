"""All jobs, as their changes happen."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator

from ffmpeg_jobs.model import State
from tests.cli.conftest import COMPLETED, Cli, Farm, NewJob, Worker
from tests.cli.test_watch import close, lines, wait_for


def begun(seen: Iterator[str], new_job: NewJob) -> None:
    """Wait until the command is told of changes."""
    heard = threading.Event()

    def change() -> None:
        while not heard.wait(0.2):
            new_job()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        next(seen)
    finally:
        heard.set()
        thread.join()


def test_a_line_for_each_change_of_any_job(cli: Cli, new_job: NewJob, worker: Worker) -> None:
    process = cli.start("events")
    seen = lines(process)
    begun(seen, new_job)
    first, second = new_job(), new_job()
    wait_for(seen, f"{second} queued")
    claim = worker.take(first)
    wait_for(seen, f"{first} running, on sim-1")
    worker.end(claim, COMPLETED)
    wait_for(seen, f"{first} completed, on sim-1")
    process.send_signal(signal.SIGINT)
    assert close(process)[0] == 130


def test_it_goes_on_when_the_master_is_back(cli: Cli, farm: Farm, new_job: NewJob) -> None:
    process = cli.start("events", "--json")
    seen = lines(process)
    begun(seen, new_job)
    kept, job_id = new_job(), new_job()
    wait_for(seen, job_id)
    farm.stop()
    farm.start()
    farm.client().cancel(job_id)
    # And what it told before, it does not tell again.
    told = next(json.loads(line) for line in seen if kept in line or job_id in line)
    assert (told["id"], told["state"]) == (job_id, State.CANCELED.value)
    process.kill()
    close(process)


def test_a_master_that_never_answered_is_told(cli: Cli) -> None:
    done = cli.run("events", FFMPEG_JOBS_MASTER="http://127.0.0.1:1")
    assert done.returncode == 69
