"""Which encoders work here: each is tried, in the sandbox, on a few real frames."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from ffmpeg_jobs.contract import VIDEO_ENCODERS
from ffmpeg_jobs.model import Job, Parameters
from ffmpeg_worker.command import Places, ffmpeg_argv
from ffmpeg_worker.families import family_of
from ffmpeg_worker.sandbox import sandboxed

#: NVENC refuses pictures under about 145x49 pixels; 256x256 is taken by all.
SIDE_PIXELS: Final = 256
#: Two frames take half a second; a device that hangs is given up after this long.
TRY_SECONDS: Final = 60


def probe_encoders() -> tuple[str, ...]:
    """The encoders of the contract that really encode on this machine."""
    listed = _listed()
    return tuple(name for name in VIDEO_ENCODERS if name in listed and _works(name))


def _listed() -> set[str]:
    """The names that ``ffmpeg -encoders`` knows; empty where ffmpeg cannot be run."""
    try:
        done = subprocess.run(
            ["ffmpeg", "-hide_banner", "-encoders"],
            capture_output=True,
            text=True,
            timeout=TRY_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return {words[1] for words in map(str.split, done.stdout.splitlines()) if len(words) > 1}


def _works(encoder: str) -> bool:
    devices = family_of(encoder).devices
    if devices and not Path(devices[0]).exists():
        return False
    asked = Parameters(
        duration=0.2,
        framerate=10,
        width=SIDE_PIXELS,
        height=SIDE_PIXELS,
        encoder=encoder,
        # Left to itself, libaom takes seconds for each frame.
        preset="8" if encoder.startswith(("libaom", "libvpx")) else None,
        audio_encoder="none",
    )
    places = Places(None, "/dev/null", "null", "/dev/null", next(iter(devices), None))
    command = sandboxed(
        ffmpeg_argv(Job(parameters=asked), places, 1), [], network=False, devices=devices
    )
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TRY_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
