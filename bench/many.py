"""What many short jobs cost the master, and whether it keeps the places of its workers filled.

Each worker is a process of its own that says all that a real one says; its encode is a sleep.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import table
from bench.master import OURS, Running, master
from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.contract import BATCH_MAX_JOBS
from ffmpeg_jobs.line import Endpoint

PROGRAM = Path(__file__).parent / "queues" / "ours.py"
JOB = {"parameters": {"duration": 1}}
AIMS = ("< 100 % of a core", "< 5 % idle")
#: Between questions whether any job is left: each costs the master a little too.
LOOK_SECONDS = 1.0

#: Of a job, in Unix time: when its encode began and was over, and the master heard of it.
Span = tuple[float, float, float]


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--jobs", type=int, default=10_000, help="queued before the first starts")
    options.add_argument("--workers", type=int, default=4)
    options.add_argument("--places", type=int, default=8, help="of each worker")
    options.add_argument("--seconds", type=float, default=0.05, help="that each encode takes")
    asked = options.parse_args()
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        running = stack.enter_context(master(Path(place), f"sqlite:///{place}/master.db"))
        client = MasterClient(Endpoint(running.url, running.key))
        for begun in range(0, asked.jobs, BATCH_MAX_JOBS):
            client.submit_batch([JOB] * min(BATCH_MAX_JOBS, asked.jobs - begun))
        before = running.cpu_seconds()
        spans = _work(running, client, asked.workers, asked.places, asked.seconds)
        cpu = running.cpu_seconds() - before
    assert len(spans) == asked.jobs, len(spans)
    lasted = max(told for _, _, told in spans) - min(begun for begun, _, _ in spans)
    idle = idle_percent(spans, asked.workers * asked.places)
    title = (
        f"{asked.jobs} jobs of {asked.seconds * 1000:.0f} ms on {asked.workers} workers with "
        f"{asked.places} places each, the master on SQLite"
    )
    head = ("jobs/s", "most possible", "master, % of a core", "its CPU ms/job", "places idle, %")
    most = asked.workers * asked.places / asked.seconds
    row = (asked.jobs / lasted, most, cpu / lasted * 100, cpu / asked.jobs * 1000, idle)
    table.show(title, (*head, "aim"), [(*row, "; ".join(AIMS))])


def _work(
    running: Running, client: MasterClient, workers: int, places: int, seconds: float
) -> list[Span]:
    """All that is queued."""
    pipe = subprocess.PIPE
    crew = [
        subprocess.Popen(
            [sys.executable, PROGRAM, "crew", *map(str, (number, places, seconds))],
            env=os.environ | running.environ | OURS,
            stdin=pipe,
            stdout=pipe,
            text=True,
        )
        for number in range(workers)
    ]
    for state in ("queued", "running"):
        while any(client.jobs(limit=1, state=state)):
            time.sleep(LOOK_SECONDS)
    told = (worker.communicate()[0].splitlines()[-1] for worker in crew)
    return [(begun, over, heard) for text in told for begun, over, heard in json.loads(text)]


def idle_percent(spans: Sequence[Span], places: int) -> float:
    """The part of all place-seconds in which nothing was encoded while jobs still waited: from
    the first encode until the last begins."""
    first, last = min(span[0] for span in spans), max(span[0] for span in spans)
    busy = sum(min(over, last) - begun for begun, over, _ in spans)
    return 100 * (1 - busy / (places * (last - first)))


if __name__ == "__main__":
    main()
