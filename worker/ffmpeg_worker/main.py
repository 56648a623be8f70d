"""The program: read the settings, become a daemon, run the agent."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog

from ffmpeg_jobs import __version__
from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.daemon import set_up_logging
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.settings import (
    EX_CONFIG,
    ConfigError,
    add_flags,
    command_line,
    example,
    refuse_secret,
)
from ffmpeg_worker import folders, metrics
from ffmpeg_worker.agent import Agent
from ffmpeg_worker.attempt import Station
from ffmpeg_worker.calls import ScopeError
from ffmpeg_worker.commands import add_commands, run_command
from ffmpeg_worker.config import CONFIG_FILE, SETTINGS, Config, read_config
from ffmpeg_worker.drain import Drains
from ffmpeg_worker.limits import CONTROLLERS
from ffmpeg_worker.placement import Placement, placement_for
from ffmpeg_worker.results import Results
from ffmpeg_worker.shutdown import machine_stops
from ffmpeg_worker.surroundings import (
    has_user_bus,
    user_bus_comes,
    user_warnings,
    without_user_bus,
)

#: When the machine starts, the account's manager may start after us; half of TimeoutStartSec.
BUS_SECONDS: Final = 45.0
#: Threads for what blocks: the held claim, a heartbeat, and per job a fetch, upload or report.
THREADS: Final = 64

log = structlog.get_logger()


def main() -> int:
    """The program; its exit status. 78: the configuration cannot be used."""
    flags = _parser().parse_args()
    if flags.print_example_config:
        sys.stdout.write(example(SETTINGS, "ffmpeg-worker: takes jobs and has systemd hold them."))
        return 0
    try:
        key_needed = flags.command is None
        config = read_config(flags.config, vars(flags), os.environ, key_needed=key_needed)
    except ConfigError as error:
        sys.stderr.write(f"ffmpeg-worker: {error}\n")
        return EX_CONFIG
    if flags.command is not None:
        return run_command(config, flags)
    set_up_logging(config.log_level)
    try:
        fault = folders.prepare(config)
    except OSError as error:  # such as a full disk, which passes
        log.error("worker_failed", reason=str(error))
        return 1
    if fault is not None:
        sys.stderr.write(f"ffmpeg-worker: {fault}\n")
        return EX_CONFIG
    status = asyncio.new_event_loop().run_until_complete(_work(config))
    # Threads that still upload or wait for the master must not hold up a restart: what they
    # do is on disk, and the next worker goes on with it.
    sys.stderr.flush()
    os._exit(status)


async def _work(config: Config) -> int:
    if config.manager == "user" and not await _user_bus_comes():
        return 1
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    pair = (config.client_cert, config.client_key)
    endpoint = Endpoint(
        config.master, config.api_key, config.ca, config.insecure_skip_verify, *pair
    )
    client, drains = MasterClient(endpoint), Drains(config, machine_stops)
    placement = placement_for(config)
    station = Station(config, placement, client, Results(client), drains, metrics.observe)
    agent = Agent(station)
    _tell_what_is_missing(config, placement)
    try:
        metrics.serve(
            config.metrics_address, agent.health, config.state_directory, placement.enforced()
        )
    except (OSError, ValueError) as error:
        log.error("metrics_not_served", address=config.metrics_address, reason=str(error))
        return 1
    try:
        await agent.run()
    except (OSError, ScopeError) as error:  # of the machine, and told again at each start
        log.error("worker_failed", reason=str(error))
        return 1
    except Exception:  # the outermost loop: say why, and let systemd start the worker again
        log.exception("worker_failed")
        return 1
    return 0


async def _user_bus_comes() -> bool:
    uid = os.getuid()
    if has_user_bus(uid):
        return True
    log.warning("waiting_for_user_bus", words=without_user_bus(uid))
    comes = await user_bus_comes(uid, BUS_SECONDS)
    if not comes:
        log.error("no_user_bus", waited_seconds=BUS_SECONDS)
    return comes


def _tell_what_is_missing(config: Config, placement: Placement) -> None:
    """Loudly, once: whoever reads the log must know what does not hold jobs here."""
    missing = [name for name in CONTROLLERS if name not in placement.enforced()]
    if missing:
        log.warning(
            "limits_not_enforced",
            manager=placement.manager,
            missing=missing,
            consequence="jobs are refused" if config.require_enforcement else "jobs run unlimited",
        )
    if placement.manager == "user":
        for words in user_warnings(os.getuid()):
            log.warning("user_manager_lacks", words=words)


def _parser() -> argparse.ArgumentParser:
    parser = command_line(
        prog="ffmpeg-worker",
        description="Take jobs from the master and have systemd hold each ffmpeg run in its own "
        "scope. Settings are read from worker.toml; a flag stands above it. "
        "With a command, do that instead.",
        epilog="Exit status: 0 stopped, 1 failed, 78 the configuration cannot be used. "
        "Stopping the worker leaves its jobs running; the next one adopts them.",
    )
    parser.add_argument(
        "--config", type=Path, default=CONFIG_FILE, metavar="FILE", help="worker.toml"
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--register",
        action="store_true",
        help="accepted for old command lines; a worker always registers",
    )
    parser.add_argument(
        "--print-example-config", action="store_true", help="print worker.toml with every default"
    )
    refuse_secret(parser, "--api-key", "--api-key-file FILE")
    add_flags(parser, SETTINGS)
    add_commands(parser)
    return parser
