"""Runs as the worker's service: encode the clip in scope and sandbox, and bare, in turns."""

import asyncio
import json
import resource
import subprocess
import time
from pathlib import Path

from held import RESULT, Station, facts, forget, run, station

from ffmpeg_jobs.model import Job, Parameters

ROUNDS = 7
CLIP = "/var/lib/ffmpeg-worker/input/clip.mp4"
PLACE = Path("/var/lib/ffmpeg-worker/output")
WANTED = Parameters(encoder="libx264", preset="medium", width=1280, height=720)


async def held(name: str, at: Station) -> tuple[list[float], int, tuple[str, ...]]:
    """Wall and CPU seconds in scope and sandbox, the output's size, the command."""
    job = Job(input=CLIP, output=str(PLACE / f"{name}.mp4"), parameters=WANTED)
    plan = await run(f"encode{name:a>6}", job, at)
    end = facts(plan)
    assert end["exit_status"] == 0, end
    # usage_usec of cpu.stat (cgroup-v2.rst): all of the scope, holder and sandbox too.
    cpu_seconds = int(end["counters"]["cpu.stat"].split()[1]) / 1e6
    size = Path(str(plan.staged)).stat().st_size
    await forget(plan)
    return [end["wall_seconds"], cpu_seconds], size, plan.run


def bare(argv: tuple[str, ...]) -> tuple[list[float], int]:
    """The same of the same ffmpeg command without anything around it."""
    output = PLACE / "bare.mp4"
    places = {"file:/input": f"file:{CLIP}", "file:/output": f"file:{output}"}
    command = [places.get(part, part) for part in argv[argv.index("--") + 1 :]]
    command = [part.replace("/job/", f"{PLACE}/") for part in command]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [seconds, cpu], output.stat().st_size


async def main() -> None:
    """Measure in turns, so that whatever else happens meets both."""
    at = station()
    found: dict[str, list[list[float]]] = {"held": [], "bare": []}
    for number in range(ROUNDS):
        seconds, size, argv = await held("abcdefg"[number], at)
        alone, same = bare(argv)
        assert abs(size - same) < same / 100, (size, same)
        found["held"].append(seconds)
        found["bare"].append(alone)
    RESULT.write_text(json.dumps(found))


asyncio.run(main())
