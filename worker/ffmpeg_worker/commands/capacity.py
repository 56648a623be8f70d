"""``ffmpeg-worker capacity``: the calculation, line by line."""

from __future__ import annotations

import argparse
import json
import sys

from ffmpeg_jobs.wire import to_json
from ffmpeg_worker.capacity import Capacity, capacity
from ffmpeg_worker.config import Config
from ffmpeg_worker.machine import resources


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes besides --config."""
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(config: Config, arguments: argparse.Namespace) -> int:
    """Print the calculation for this machine; always 0."""
    has = resources(config.state_directory, config.manager)
    found = capacity(has, config.capacity, alone=config.manager == "none")
    if arguments.json:
        document = {**to_json(found), "configured": config.max_concurrent_jobs}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        sys.stdout.write(_page(found, config.max_concurrent_jobs))
    return 0


def _page(found: Capacity, configured: int) -> str:
    lines = [f"{line.resource:<8}{line.calculation}" for line in found.lines]
    least = min(line.jobs for line in found.lines)
    lines.append(f"{'least':<8}{found.limited_by}: {least}" + _at_least_one(least))
    lines.append(f"recommended: max_concurrent_jobs = {found.max_concurrent_jobs}")
    if configured != found.max_concurrent_jobs:
        lines.append(f"it is set to {configured}, and that counts")
    return "\n".join(lines) + "\n"


def _at_least_one(least: int) -> str:
    return "" if least else "; a worker takes at least one"
