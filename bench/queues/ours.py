"""Our master's API, by the client that the worker uses."""

import json
import os
import sys
import threading
import time

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import Machine, Outcome, Result, State

DONE = Outcome(State.COMPLETED)


def client() -> MasterClient:
    """As each thread has one."""
    return MasterClient(Endpoint(os.environ["MASTER"], os.environ["KEY"]))


def submit(count: int) -> float:
    """One after the other, as a person's script does."""
    master = client()
    begun = time.monotonic()
    for _ in range(count):
        master.submit({"parameters": {"duration": 1}})
    return count / (time.monotonic() - begun)


def register(slots: int) -> None:
    """A worker with room for anything."""
    client().register("bench", Machine(64, 1 << 20, 1 << 30, slots))


def work(count: int, slots: int) -> float:
    """As the worker does: how its jobs ended travels with its claim of the next ones."""
    register(slots)
    master = client()
    results: list[Result] = []
    done = 0
    begun = time.monotonic()
    while done < count:
        got = master.claims("bench", 10, most=slots, results=results)
        assert not got.refused
        done += len(results)
        results = [Result(c.job_id, c.attempt, c.token, DONE) for c in got.claims]
    return count / (time.monotonic() - begun)


def wait(count: int) -> list[float]:
    """One worker waits; a job comes now and then."""
    register(1)
    started: list[float] = []

    def loop() -> None:
        master = client()
        while len(started) < count:
            claim = master.claim("bench", 10)
            if claim is not None:
                sent = int(claim.job.labels["sent"])
                started.append((time.time_ns() - sent) / 1e6)
                master.finish(claim.job_id, claim.attempt, claim.token, DONE)

    thread = threading.Thread(target=loop)
    thread.start()
    master = client()
    for number in range(count):
        time.sleep(0.1)
        master.submit({"parameters": {"duration": 1}, "labels": {"sent": str(time.time_ns())}})
        while len(started) <= number:
            time.sleep(0.001)
    thread.join()
    return started


print(json.dumps(globals()[sys.argv[1]](*map(int, sys.argv[2:]))))
