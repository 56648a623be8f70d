"""Which encoders work here: each is tried, in the sandbox, on a few real frames."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from ffmpeg_jobs.bounds import VIDEO_ENCODERS
from ffmpeg_jobs.daemon import tell_systemd
from ffmpeg_jobs.model import Job, Parameters
from ffmpeg_worker.command import Places, ffmpeg_argv
from ffmpeg_worker.families import family_of
from ffmpeg_worker.sandbox import sandboxed
from ffmpeg_worker.syscalls import filter_descriptor

#: NVENC refuses pictures under about 145x49 pixels; 256x256 is taken by all.
SIDE_PIXELS: Final = 256
#: Two frames take half a second; a device that hangs is given up after this long.
TRY_SECONDS: Final = 60
#: After somebody ended a try: a stop of our unit ends all its processes.
AGAIN_SECONDS: Final = 5.0

log = structlog.get_logger()


async def keep_probing(
    memory: Path, reload: asyncio.Event, found: Callable[[tuple[str, ...]], None]
) -> None:
    """Tell ``found`` what encodes here: now, and again each time that ``reload`` is set, then
    without what is remembered. systemd shows the unit as reloading meanwhile."""
    encoders = await _probe(memory)
    while True:
        log.info("encoders_found", encoders=list(encoders))
        found(encoders)
        await reload.wait()
        reload.clear()
        tell_systemd(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
        encoders = await _probe(memory, afresh=True)
        tell_systemd(READY=1)


async def _probe(memory: Path, *, afresh: bool = False) -> tuple[str, ...]:
    while True:
        try:
            return await asyncio.to_thread(probe_encoders, memory, afresh=afresh)
        except InterruptedError:  # mostly we are being stopped too, and this is never reached again
            await asyncio.sleep(AGAIN_SECONDS)


def probe_encoders(memory: Path, *, afresh: bool = False) -> tuple[str, ...]:
    """The encoders of the contract that really encode on this machine.

    Software that worked is kept in the file ``memory`` and believed as long as ffmpeg is the
    same, unless all are to be tried ``afresh``; devices come and go, so their encoders are tried
    each time. Raises InterruptedError if somebody ended a try.
    """
    listing = _listing()
    listed = {words[1] for words in map(str.split, listing.splitlines()) if len(words) > 1}
    version = hashlib.sha256(listing.encode()).hexdigest()
    known = [] if afresh else _remembered(memory, version)
    found = tuple(n for n in VIDEO_ENCODERS if n in listed and (n in known or _works(n)))
    _remember(memory, version, [name for name in found if not family_of(name).devices])
    return found


def _remembered(memory: Path, version: str) -> list[str]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return list(known["software"]) if known.get("version") == version else []


def _remember(memory: Path, version: str, software: list[str]) -> None:
    with suppress(OSError):
        temporary = memory.with_name(f".{memory.name}.new")
        temporary.write_text(json.dumps({"version": version, "software": software}))
        temporary.replace(memory)


def _listing() -> str:
    """What ffmpeg says of itself and its encoders; empty where it cannot be run."""
    try:
        done = subprocess.run(
            ["ffmpeg", "-encoders"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # the banner: version, build, libraries
            text=True,
            timeout=TRY_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    _check_ended_by_itself(done)
    return done.stdout


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
    argv = ffmpeg_argv(Job(parameters=asked), places, 1)
    try:
        with filter_descriptor() as filtering:
            done = subprocess.run(
                sandboxed(argv, [], network=False, devices=devices, filter_descriptor=filtering),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=TRY_SECONDS,
                check=False,
                pass_fds=[filtering],
            )
    except (OSError, subprocess.TimeoutExpired):
        return False
    _check_ended_by_itself(done)
    return done.returncode == 0


def _check_ended_by_itself(done: subprocess.CompletedProcess[Any]) -> None:
    if done.returncode == -signal.SIGTERM:
        raise InterruptedError
