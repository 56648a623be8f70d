"""Runs as the worker's service: launch jobs by the worker's own code, and note how long it takes.

ffmpeg is replaced by a program that writes the time and ends. From the decision (the claim is
in our hands) to that time is one launch: plan, job directory, holder, scope, sandbox, exec.
"""

import asyncio
import json
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

from ffmpeg_jobs.model import Claim, Job, Limits, Parameters
from ffmpeg_worker import jobdir
from ffmpeg_worker.attempt import start
from ffmpeg_worker.config import CONFIG_FILE, read_config
from ffmpeg_worker.placement import LauncherPlacement
from ffmpeg_worker.plan import make_plan
from ffmpeg_worker.prepare import prepare
from ffmpeg_worker.watch import exited

LAUNCHES = 96
RESULT = Path("/var/lib/ffmpeg-worker/bench.json")


def job_id(number):
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return "bench" + "".join(letters[number >> (5 * place) & 31] for place in range(7))


async def launch(number, config, placement):
    job = Job(
        parameters=Parameters(duration=1),
        resource_limits=Limits(max_cpu_percent=100, max_memory_mb=512, max_disk_mb=16),
    )
    claim = Claim(job_id(number), 1, "t" * 24, 600.0, job)
    decided = time.time_ns()
    plan = replace(make_plan(claim, config), probe=None)  # peers verify no output either
    jobdir.record(plan)
    await asyncio.to_thread(prepare, plan, config, threading.Event())
    running = await start(plan, placement)
    await exited(running.pidfd)
    began = int((Path(plan.directory) / "work" / "began").read_text())
    await placement.stop(claim.job_id)
    return (began - decided) / 1e6, plan.run


async def main():
    config = read_config(CONFIG_FILE, {}, os.environ)
    placement = LauncherPlacement()
    await launch(0, config, placement)  # the launcher is started on demand
    found = {}
    number = 1
    for width in (1, 8):
        gate = asyncio.Semaphore(width)

        async def one(number, gate=gate):
            async with gate:
                return await launch(number, config, placement)

        begun = time.monotonic()
        done = await asyncio.gather(*(one(number + i) for i in range(LAUNCHES)))
        seconds = time.monotonic() - begun
        number += LAUNCHES
        found[width] = {"ms": [ms for ms, _ in done], "per_second": LAUNCHES / seconds}
        found["argv"] = done[-1][1]
    RESULT.write_text(json.dumps(found))


asyncio.run(main())
