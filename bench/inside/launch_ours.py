"""Runs as the worker's service: launch jobs by the worker's own code, and note how long it takes.

launch_ours.py LAUNCHES
ffmpeg is replaced by a program that writes the time and ends. From the decision (the claim is
in our hands) to that time is one launch: plan, job directory, holder, scope, sandbox, exec.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from held import RESULT, Station, forget, run, station
from pid1 import cpu_ms, settled_cpu_ms

from ffmpeg_jobs.model import Job, Limits, Parameters

JOB = Job(
    parameters=Parameters(duration=1),
    resource_limits=Limits(max_cpu_percent=100, max_memory_mb=512, max_disk_mb=16),
)
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def job_id(number: int) -> str:
    """A job id for each number."""
    return "bench" + "".join(LETTERS[number >> (5 * place) & 31] for place in range(7))


async def launch(number: int, at: Station) -> tuple[float, tuple[str, ...]]:
    """Milliseconds to the program's first act, and the command that led to it."""
    decided = time.time_ns()
    plan = await run(job_id(number), JOB, at)
    began = int((Path(plan.directory) / "work" / "began").read_text())
    await forget(plan)
    return (began - decided) / 1e6, plan.run


async def measure(width: int, numbers: range, at: Station) -> dict[str, Any]:
    """Launch with ``width`` in flight."""
    gate = asyncio.Semaphore(width)

    async def one(number: int) -> float:
        async with gate:
            return (await launch(number, at))[0]

    before, begun = cpu_ms(), time.monotonic()
    done = await asyncio.gather(*map(one, numbers))
    seconds = time.monotonic() - begun
    pid1_ms = (settled_cpu_ms() - before) / len(numbers)
    return {"ms": done, "per_second": len(numbers) / seconds, "pid1_ms": pid1_ms}


async def main() -> None:
    """Measure with one and with eight in flight."""
    at, launches = station(), int(sys.argv[1])
    _, argv = await launch(0, at)  # the launcher is started on demand
    found: dict[str, Any] = {"argv": argv}
    for turn, width in enumerate((1, 8)):
        first = 1 + turn * launches
        found[str(width)] = await measure(width, range(first, first + launches), at)
    RESULT.write_text(json.dumps(found))


asyncio.run(main())
