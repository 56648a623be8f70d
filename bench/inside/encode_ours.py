"""Runs as the worker's service: encode the clip in scope and sandbox, and bare, in turns."""

import asyncio
import json
import os
import shutil
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

from ffmpeg_jobs.model import Claim, Job, Parameters
from ffmpeg_worker import jobdir
from ffmpeg_worker.attempt import start
from ffmpeg_worker.config import CONFIG_FILE, read_config
from ffmpeg_worker.placement import LauncherPlacement
from ffmpeg_worker.plan import make_plan
from ffmpeg_worker.prepare import prepare
from ffmpeg_worker.watch import exited

ROUNDS = 7
CLIP = "/var/lib/ffmpeg-worker/input/clip.mp4"
PLACE = Path("/var/lib/ffmpeg-worker/output")
RESULT = Path("/var/lib/ffmpeg-worker/bench.json")


async def held(number, config, placement):
    """Seconds of ffmpeg, by the holder's own clock."""
    job = Job(
        input=CLIP,
        output=str(PLACE / f"held{number}.mp4"),
        parameters=Parameters(encoder="libx264", preset="medium", width=1280, height=720),
    )
    claim = Claim(f"encode{number:a>6}", 1, "t" * 24, 600.0, job)
    plan = replace(make_plan(claim, config), probe=None)
    jobdir.record(plan)
    await asyncio.to_thread(prepare, plan, config, threading.Event())
    running = await start(plan, placement)
    await exited(running.pidfd)
    facts = json.loads((Path(plan.directory) / "facts.json").read_text())
    assert facts["exit_status"] == 0, facts
    await placement.stop(claim.job_id)
    size = Path(plan.staged).stat().st_size
    Path(plan.staged).unlink()
    jobdir.remove(Path(plan.directory))
    return facts["wall_seconds"], size, plan.run


def bare(argv):
    """Seconds of the same ffmpeg command without anything around it."""
    places = {"/input": CLIP, "/output": str(PLACE / "bare.mp4")}
    command = [places.get(part, part) for part in argv[argv.index("--") + 1 :]]
    command = [part.replace("/job/", f"{PLACE}/") for part in command]
    command[0] = shutil.which(command[0])
    began = time.monotonic()
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    seconds = time.monotonic() - began
    return seconds, Path(places["/output"]).stat().st_size


async def main():
    config = read_config(CONFIG_FILE, {}, os.environ)
    placement = LauncherPlacement()
    found = {"held": [], "bare": []}
    for number in range(ROUNDS):
        seconds, size, argv = await held(f"{'abcdefg'[number]}", config, placement)
        alone, same = bare(argv)
        assert abs(size - same) < same / 100, (size, same)
        found["held"].append(seconds)
        found["bare"].append(alone)
    shutil.rmtree(PLACE / "progress", ignore_errors=True)
    RESULT.write_text(json.dumps(found))


asyncio.run(main())
