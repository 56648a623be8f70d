"""Celery on Redis: the most used; a job is in memory until Redis writes it."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from celery import Celery
from redis import Redis

app = Celery("celery_", broker=os.environ["REDIS"])
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
noted = Redis.from_url(os.environ["REDIS"].replace("redis+socket", "unix"))


@app.task(name="noop")  # type: ignore[misc]  # it has no types here
def noop(sent: int) -> None:
    """Nothing but a note of when."""
    noted.rpush("started", time.time_ns(), sent)


def submit(count: int) -> float:
    """One after the other."""
    begun = time.monotonic()
    for _ in range(count):
        noop.delay(time.time_ns())
    return count / (time.monotonic() - begun)


def worker(slots: int) -> "subprocess.Popen[bytes]":
    """The command that its users run."""
    command = [sys.executable, "-m", "celery", "--app", "celery_", "worker", "--pool=prefork"]
    return subprocess.Popen(
        [*command, f"--concurrency={slots}", "--loglevel=ERROR"],
        cwd=Path(__file__).parent,
        env=os.environ | {"CELERY_IMPORTED": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def work(count: int, slots: int) -> float:
    """From the first job's start to the last one's: the worker's own start is not counted."""
    noted.delete("started")
    process = worker(slots)
    while noted.llen("started") < 2 * count:
        time.sleep(0.01)
    process.terminate()
    process.wait()
    times = [int(value) for value in noted.lrange("started", 0, -1)][::2]
    return (count - 1) / ((max(times) - min(times)) / 1e9)


def wait(count: int) -> list[float]:
    """One worker waits; a job comes now and then."""
    noted.delete("started")
    process = worker(1)
    noop.delay(0)
    while noted.llen("started") < 2:
        time.sleep(0.1)
    noted.delete("started")
    for number in range(count):
        time.sleep(0.1)
        noop.delay(time.time_ns())
        while noted.llen("started") < 2 * (number + 1):
            time.sleep(0.001)
    process.terminate()
    process.wait()
    values = [int(value) for value in noted.lrange("started", 0, -1)]
    return [(at - sent) / 1e6 for at, sent in zip(values[::2], values[1::2], strict=True)]


if "CELERY_IMPORTED" not in os.environ:
    with suppress(KeyboardInterrupt):
        print(json.dumps(globals()[sys.argv[1]](*map(int, sys.argv[2:]))))
