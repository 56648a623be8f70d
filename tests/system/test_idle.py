"""No place stands empty while a job waits."""

from __future__ import annotations

import json

import pytest

from tests.system.farm import Farm, in_place_of_ffmpeg, worker_with

pytestmark = pytest.mark.lab

PLACES = 2
JOBS = 8
#: Of each encode: long beside what a loaded machine takes to hand the next one out.
SECONDS = 12
#: Of the place-seconds in which jobs waited.
IDLE_PERCENT = 1.0
LONG = f"""#!/bin/sh
case "$*" in *file:/job/*) sleep {SECONDS} ;; esac
exec /usr/bin/ffmpeg.real "$@"
"""
SUBMIT = {"parameters": {"duration": 1, "width": 64, "height": 64, "preset": "ultrafast"}}


def events(farm: Farm, name: str, since: str) -> dict[str, float]:
    """When the worker said so of each job, in Unix seconds."""
    log = farm.run(f"journalctl -u ffmpeg-worker --since '@{since}' -o json --no-pager").stdout
    rows = [json.loads(line) for line in log.splitlines()]
    found = {}
    for row in rows:
        words = str(row["MESSAGE"]).split()
        if f"event={name}" in words:
            (job,) = (word.partition("=")[2] for word in words if word.startswith("job="))
            found[job] = int(row["__REALTIME_TIMESTAMP"]) / 1e6
    return found


def test_places_are_filled_as_long_as_jobs_wait(container: Farm) -> None:
    """What is full says so, and is full no more when ffmpeg ends: its verification, the log and
    the result do not keep the next job waiting."""
    since = container.run("date +%s").stdout.strip()
    with (
        worker_with(container, max_concurrent_jobs=PLACES),
        in_place_of_ffmpeg(container, LONG),
    ):
        container.machine.write("/tmp/jobs.json", json.dumps({"jobs": [SUBMIT] * JOBS}))
        batch = container.ask("/jobs/batch -H Content-Type:application/json -d @/tmp/jobs.json")
        ids = [job["id"] for job in json.loads(container.run(batch).stdout)]
        ended = [container.wait_for(job, "completed") for job in ids]
    assert {job["state"] for job in ended} == {"completed"}
    begun, started = events(container, "claimed", since), events(container, "started", since)
    over = {job["id"]: started[job["id"]] + job["usage"]["wall_seconds"] for job in ended}
    first, last = min(begun.values()), max(begun.values())
    busy = sum(max(0.0, min(over[job], last) - begun[job]) for job in ids)
    idle_percent = 100 * (1 - busy / (PLACES * (last - first)))
    assert idle_percent < IDLE_PERCENT, (idle_percent, begun, over)
