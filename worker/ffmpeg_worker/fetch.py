"""An input over HTTP is fetched before the job starts, so that the job needs no network."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests

from ffmpeg_jobs.model import Reason
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.publish import plain_url

CONNECT_TIMEOUT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 60.0
CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Bounds:
    """What a fetch may take, and who may end it."""

    shown: str  #: the URL as messages name it
    max_bytes: int
    deadline: float  #: monotonic seconds
    stop: threading.Event

    def check(self, got: int) -> None:
        """Raises AttemptError when ``got`` bytes, the time, or somebody's wish end it."""
        if got > self.max_bytes:
            most = self.max_bytes >> 20
            raise AttemptError(
                Reason.DISK_FULL, f"{self.shown} is over the {most} MB of max_disk_mb"
            )
        if self.stop.is_set():
            raise AttemptError(Reason.CANCELED, "canceled while its input was fetched")
        if time.monotonic() > self.deadline:
            raise AttemptError(
                Reason.TIMEOUT, f"{self.shown} took longer than timeout_sec to fetch"
            )


def fetch(
    url: str, target: Path, *, max_bytes: int, deadline_seconds: float, stop: threading.Event
) -> None:
    """GET ``url`` into the file ``target`` (mode 0600).

    Raises AttemptError: input_error for what the server says is not there, network_error for
    what another try may mend, disk_full over ``max_bytes``, timeout after ``deadline_seconds``,
    canceled when ``stop`` is set. Messages leave out the query, which may hold a signature.
    """
    shown = plain_url(url)
    bounds = Bounds(shown, max_bytes, time.monotonic() + deadline_seconds, stop)
    try:
        with requests.get(
            url,
            stream=True,
            timeout=(CONNECT_TIMEOUT_SECONDS, SILENCE_SECONDS),
            headers={"Accept-Encoding": "identity"},
        ) as answer:
            _check(answer, shown, max_bytes)
            got = _copy(answer, target, bounds)
            wanted = answer.headers.get("Content-Length")
    except requests.RequestException as error:
        raise AttemptError(
            Reason.NETWORK_ERROR, f"{shown} could not be fetched: {type(error).__name__}"
        ) from None
    if wanted is not None and int(wanted) != got:
        raise AttemptError(Reason.NETWORK_ERROR, f"{shown} broke off after {got} of {wanted} bytes")


def _check(answer: requests.Response, shown: str, max_bytes: int) -> None:
    if not answer.ok:
        server_s_fault = answer.status_code >= 500 or answer.status_code in (408, 429)
        reason = Reason.NETWORK_ERROR if server_s_fault else Reason.INPUT_ERROR
        raise AttemptError(reason, f"{shown} answered with HTTP status {answer.status_code}")
    announced = answer.headers.get("Content-Length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise AttemptError(
            Reason.DISK_FULL,
            f"{shown} is {int(announced) >> 20} MB; max_disk_mb allows {max_bytes >> 20} MB",
        )


def _copy(answer: requests.Response, target: Path, bounds: Bounds) -> int:
    """Write the answer's body to the file; its size in bytes."""
    got = 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in answer.iter_content(CHUNK_BYTES):
            got += len(chunk)
            bounds.check(got)
            try:
                file.write(chunk)
            except OSError as error:
                raise AttemptError(
                    Reason.DISK_FULL, f"the input could not be written: {error.strerror}"
                ) from None
    return got
