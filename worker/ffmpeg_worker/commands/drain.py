"""``ffmpeg-worker drain``: no new jobs; what runs ends, or is given back in time."""

from __future__ import annotations

import argparse
import getpass
import time
from functools import partial

from ffmpeg_worker import control
from ffmpeg_worker.commands.asking import ask, say_if_nobody_hears, wait_until
from ffmpeg_worker.config import Config

#: As long as a job may run at all.
_TIMEOUT_MAX_SECONDS = 604800


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes besides --config."""
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="give back what still runs after so long; without it every job may end",
    )
    parser.add_argument("--wait", action="store_true", help="return when no job is left")


def run(config: Config, arguments: argparse.Namespace) -> int:
    """Ask, and wait if told to; 1 where it may not be asked."""
    until = None if arguments.timeout is None else time.time() + arguments.timeout
    why = f"asked by {getpass.getuser()}"
    asked_ns = ask(config, control.DRAIN, why, until)
    if asked_ns is None:
        return 1
    say_if_nobody_hears(config)
    if arguments.wait:
        wait_until(partial(_drained, config, asked_ns))
    return 0


def _drained(config: Config, asked_ns: int) -> bool:
    state = control.told(config.control_directory)
    return state.answers_ns >= asked_ns and state.running == 0


def _seconds(text: str) -> int:
    if not text.isdigit() or int(text) > _TIMEOUT_MAX_SECONDS:
        words = f"{text!r} is not a whole number of seconds from 0 to {_TIMEOUT_MAX_SECONDS}"
        raise argparse.ArgumentTypeError(words)
    return int(text)
