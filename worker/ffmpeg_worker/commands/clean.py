"""``ffmpeg-worker clean``: remove what dead jobs left; safe beside a running worker."""

from __future__ import annotations

import argparse
import sys

from ffmpeg_jobs.daemon import set_up_logging
from ffmpeg_worker.clean import clean
from ffmpeg_worker.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes nothing besides --config."""


def run(config: Config, arguments: argparse.Namespace) -> int:
    """Clean and print what was removed; 1 where the jobs directory cannot be read."""
    set_up_logging(config.log_level)
    try:
        removed = clean(config)
    except OSError as error:
        sys.stderr.write(f"ffmpeg-worker: cannot clean: {error}\n")
        return 1
    sys.stdout.writelines(f"removed {path}\n" for path in removed)
    return 0
