"""``ffmpeg-worker stop-jobs``: all jobs of this machine end now and are given back."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys

from ffmpeg_worker import control
from ffmpeg_worker.by_system import BySystem
from ffmpeg_worker.calls import ScopeError
from ffmpeg_worker.commands.asking import ask, wait_until
from ffmpeg_worker.config import Config
from ffmpeg_worker.limits import job_id_of
from ffmpeg_worker.surroundings import account, worker_uid
from ffmpeg_worker.unmanaged import Unmanaged


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Nothing besides --config."""


def run(config: Config, _arguments: argparse.Namespace) -> int:
    """Ask, and wait until no job is left; 1 where that could not be done.

    Where no worker runs, the jobs are stopped here, and the next worker gives them back.
    """
    directory = config.control_directory
    asked_ns = ask(config, control.STOP_JOBS, f"asked by {getpass.getuser()}", 0.0)
    if asked_ns is None:
        return 1
    if control.worker_runs(directory):
        wait_until(lambda: _done(config))
        return 0
    try:
        troubles = asyncio.run(_stop_all(config))
    except (ScopeError, OSError) as error:
        troubles = [_unseen(config, error)]
    for trouble in troubles:
        sys.stderr.write(f"ffmpeg-worker: {trouble}\n")
    if troubles:
        sys.stderr.write("ffmpeg-worker: the worker stops what is left when it is started\n")
    return 1 if troubles else 0


def _done(config: Config) -> bool:
    """Whether the worker took the request away, as it does when nothing is left."""
    return not any(
        request.name == control.STOP_JOBS for request in control.requests(config.control_directory)
    )


async def _stop_all(config: Config) -> list[str]:
    """Stop one after the other, whatever becomes of those before; what could not be done.

    Raises ScopeError or OSError where it cannot even be seen what runs.
    """
    placement = _placement(config)
    troubles = {}
    before = await _running(placement)
    for job_id in before:
        try:
            await placement.stop(job_id)
        except (ScopeError, OSError) as error:
            troubles[job_id] = str(error)
    for job_id in set(before).intersection(await _running(placement)):
        troubles.setdefault(job_id, "it goes on")
    sys.stderr.write(
        f"ffmpeg-worker: no worker runs here; {len(before) - len(troubles)} jobs were stopped, "
        "the next worker gives them back\n"
    )
    return [f"job {job_id} could not be stopped: {why}" for job_id, why in troubles.items()]


def _placement(config: Config) -> BySystem | Unmanaged:
    """The bus of an account's own manager lets in nobody else, not even root; the processes of
    its jobs are there for both."""
    return BySystem() if config.manager == "system" else Unmanaged(config.jobs_directory)


async def _running(placement: BySystem | Unmanaged) -> list[str]:
    if isinstance(placement, Unmanaged):
        return placement.running()
    return [job_id for unit in await placement.job_units() if (job_id := job_id_of(unit))]


def _unseen(config: Config, error: ScopeError | OSError) -> str:
    if isinstance(error, ScopeError):
        return f"no worker runs here, and nothing could be stopped: {error}"
    name = account(worker_uid(config.state_directory))
    return (
        f"no worker runs here, and only root and {name} may see what does: "
        f"{error.filename}: {error.strerror}"
    )
