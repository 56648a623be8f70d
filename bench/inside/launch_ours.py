"""Runs as the worker's service: launch jobs by the worker's own code, and note how long it takes.

ffmpeg is replaced by a program that writes the time and ends. From the decision (the claim is
in our hands) to that time is one launch: plan, job directory, holder, scope, sandbox, exec.
"""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from held import RESULT, Station, forget, run, station

from ffmpeg_jobs.model import Job, Limits, Parameters

LAUNCHES = 96
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
    await forget(plan, at)
    return (began - decided) / 1e6, plan.run


async def measure(width: int, first: int, at: Station) -> dict[str, Any]:
    """Launch with ``width`` in flight."""
    gate = asyncio.Semaphore(width)

    async def one(number: int) -> float:
        async with gate:
            return (await launch(number, at))[0]

    begun = time.monotonic()
    done = await asyncio.gather(*(one(first + i) for i in range(LAUNCHES)))
    return {"ms": done, "per_second": LAUNCHES / (time.monotonic() - begun)}


async def main() -> None:
    """Measure with one and with eight in flight."""
    at = station()
    _, argv = await launch(0, at)  # the launcher is started on demand
    found: dict[str, Any] = {"argv": argv}
    for width in (1, 8):
        found[str(width)] = await measure(width, width * 1000, at)
    RESULT.write_text(json.dumps(found))


asyncio.run(main())
