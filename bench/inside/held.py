"""Run one job by the worker's own code, from the worker's own service; shared by benchmarks."""

import asyncio
import json
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ffmpeg_jobs.daemon import set_up_logging
from ffmpeg_jobs.model import Claim, Job
from ffmpeg_worker import jobdir
from ffmpeg_worker.by_system import BySystem
from ffmpeg_worker.config import CONFIG_FILE, Config, read_config
from ffmpeg_worker.hold import Nursery
from ffmpeg_worker.lease import Lease, boot_seconds
from ffmpeg_worker.plan import Plan, make_plan
from ffmpeg_worker.prepare import prepare
from ffmpeg_worker.start import start
from ffmpeg_worker.watch import watch

RESULT = Path("/var/lib/ffmpeg-worker/bench.json")


@dataclass(frozen=True)
class Station:
    """The worker's configuration, and its way to the launcher."""

    config: Config
    placement: BySystem
    nursery: Nursery


def station() -> Station:
    """As the installed worker would start."""
    config = read_config(CONFIG_FILE, {}, os.environ)
    set_up_logging(config.log_level)
    return Station(config, BySystem(), Nursery())


async def run(job_id: str, job: Job, at: Station) -> Plan:
    """All of an attempt until nothing of it runs, but no ffprobe: peers verify no output."""
    claim = Claim(job_id, 1, "t" * 24, 600.0, job)
    plan = replace(make_plan(claim, at.config), probe=None)
    jobdir.record(plan)
    opened = await asyncio.to_thread(prepare, plan, threading.Event())
    with opened:
        running = await start(plan, at.placement, at.nursery, opened)
    await watch(running, Lease(boot_seconds() + claim.lease_seconds), at.placement)
    return plan


async def forget(plan: Plan) -> None:
    """Leave nothing behind."""
    if plan.staged:
        Path(plan.staged).unlink(missing_ok=True)
    await asyncio.to_thread(jobdir.remove, Path(plan.directory))


def facts(plan: Plan) -> dict[str, Any]:
    """What the holder wrote at the end."""
    found: dict[str, Any] = json.loads((Path(plan.directory) / "facts.json").read_text())
    return found
