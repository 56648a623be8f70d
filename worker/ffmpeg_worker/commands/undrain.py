"""``ffmpeg-worker undrain``: the worker takes jobs again."""

from __future__ import annotations

import argparse
import sys

from ffmpeg_worker import control
from ffmpeg_worker.commands.asking import refuse
from ffmpeg_worker.config import Config


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Nothing besides --config."""


def run(config: Config, _arguments: argparse.Namespace) -> int:
    """Take the request back; 1 where that may not be done."""
    try:
        if not control.withdraw(config.control_directory, control.DRAIN):
            sys.stderr.write("ffmpeg-worker: it was not drained by hand\n")
    except OSError as error:
        refuse(config, error)
        return 1
    return 0
