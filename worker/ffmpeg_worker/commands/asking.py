"""Ask the worker on this machine for something, and wait until it is so."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

from ffmpeg_worker import control
from ffmpeg_worker.config import Config

#: How often the worker's answer is looked at.
LOOK_SECONDS: Final = 0.5


def ask(config: Config, name: str, why: str, until: float | None) -> int | None:
    """Write the request down; its ``asked_ns``. None: it could not be, and that was said."""
    try:
        return control.ask(config.control_directory, name, why, until)
    except OSError as error:
        refuse(config, error)
        return None


def refuse(config: Config, error: OSError) -> None:
    """Say why nothing could be asked."""
    sys.stderr.write(
        f"ffmpeg-worker: cannot write in {config.control_directory}: {error.strerror}; "
        "root and members of ffmpeg-operators may\n"
    )


def wait_until(done: Callable[[], bool]) -> None:
    """Return when it is so."""
    while not done():
        time.sleep(LOOK_SECONDS)


def say_if_nobody_hears(config: Config) -> None:
    """No worker runs: say when the request will be followed."""
    if not control.worker_runs(config.control_directory):
        sys.stderr.write("ffmpeg-worker: no worker runs here; it follows when it is started\n")
