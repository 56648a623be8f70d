"""``ffmpeg-worker stop-jobs``: all jobs of this machine end now and are given back."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys

from ffmpeg_worker import control
from ffmpeg_worker.commands.asking import ask, wait_until
from ffmpeg_worker.config import Config
from ffmpeg_worker.limits import job_id_of
from ffmpeg_worker.placement import placement_for
from ffmpeg_worker.scopes import ScopeError


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Nothing besides --config."""


def run(config: Config, _arguments: argparse.Namespace) -> int:
    """Ask, and wait until no job is left; 1 where that could not be done.

    Where no worker runs, the scopes are stopped here, and the next worker gives their jobs back.
    """
    directory = config.control_directory
    asked_ns = ask(config, control.STOP_JOBS, f"asked by {getpass.getuser()}", 0.0)
    if asked_ns is None:
        return 1
    if control.worker_runs(directory):
        wait_until(lambda: _done(config))
        return 0
    try:
        stopped = asyncio.run(_stop_scopes(config))
    except ScopeError as error:
        sys.stderr.write(f"ffmpeg-worker: {error}\n")
        return 1
    sys.stderr.write(
        f"ffmpeg-worker: no worker runs here; {stopped} jobs were stopped, the next worker gives "
        "them back\n"
    )
    return 0


def _done(config: Config) -> bool:
    """Whether the worker took the request away, as it does when nothing is left."""
    return not any(
        request.name == control.STOP_JOBS for request in control.requests(config.control_directory)
    )


async def _stop_scopes(config: Config) -> int:
    placement = placement_for(config)
    ids = [job_id for unit in await placement.job_units() if (job_id := job_id_of(unit))]
    for job_id in ids:
        await placement.stop(job_id)
    return len(ids)
