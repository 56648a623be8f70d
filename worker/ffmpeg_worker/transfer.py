"""Files over HTTP: an input before ffmpeg starts, an output after it ended.

Outside of the sandbox, so that a job needs no network. What a message shows of a URL leaves
out its query, which may hold a signature, and its user.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import requests

from ffmpeg_jobs.model import Reason
from ffmpeg_worker.breakable import breakable
from ffmpeg_worker.outcome import AttemptError

CONNECT_TIMEOUT_SECONDS: Final = 10.0
#: How long a server may be silent in the middle of an answer.
SILENCE_SECONDS: Final = 30.0
#: How long it may think about what it was sent: object stores answer when all is stored.
STORING_SECONDS: Final = 120.0
CHUNK_BYTES: Final = 1 << 20
#: Between the tries of an upload.
PAUSES_SECONDS: Final = (1.0, 5.0)
_BROKEN_OFF: Final = "the connection broke off"
#: Statuses under 500 that another try may mend: Request Timeout, Too Many Requests (RFC 6585).
_PASSING: Final = (408, 429)


def fetch(
    url: str, target: Path, *, max_bytes: int, deadline_seconds: float, stop: threading.Event
) -> None:
    """GET ``url`` into the file ``target`` (mode 0600).

    Raises AttemptError: input_error for what the server says is not there, network_error for
    what another try may mend, disk_full over ``max_bytes``, timeout after ``deadline_seconds``,
    canceled when ``stop`` is set.
    """
    shown = plain_url(url)
    deadline = time.monotonic() + deadline_seconds
    trouble: AttemptError | None = None
    try:
        # Not compressed on the way, or Content-Length would not be the file's.
        headers = {"Accept-Encoding": "identity"}
        timeout = (CONNECT_TIMEOUT_SECONDS, SILENCE_SECONDS)
        with (
            breakable(lambda: stop.is_set() or time.monotonic() > deadline) as session,
            session.get(url, stream=True, timeout=timeout, headers=headers) as answer,
        ):
            _check(answer, shown, max_bytes)
            _copy(answer, target, max_bytes, shown)
    except requests.RequestException as error:
        trouble = _trouble(error, f"{shown} could not be fetched")
    except AttemptError as error:
        trouble = error
    if stop.is_set():
        raise AttemptError(Reason.CANCELED, "canceled while its input was fetched")
    if time.monotonic() > deadline:
        raise AttemptError(Reason.TIMEOUT, f"{shown} took longer than timeout_sec to fetch")
    if trouble is not None:
        raise trouble


def upload(
    staged: Path,
    url: str,
    stop: threading.Event,
    pauses_seconds: Sequence[float] = PAUSES_SECONDS,
) -> None:
    """PUT the file to a (presigned) URL, again after each pause where that may help.

    Raises AttemptError: network_error for what may be mended later, input_error for a URL
    that the server refuses, canceled when ``stop`` is set.
    """
    shown = plain_url(url)
    for pause in (*pauses_seconds, None):
        if stop.is_set():
            raise AttemptError(Reason.CANCELED, "canceled before its output was sent")
        trouble = _put(staged, url, shown, stop)
        if trouble is None:
            return
        if stop.is_set():
            raise AttemptError(Reason.CANCELED, "canceled while its output was sent")
        if pause is None or trouble.reason is not Reason.NETWORK_ERROR:
            raise trouble
        stop.wait(pause)


def plain_url(url: str) -> str:
    """The URL without what may be secret: its user, its query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _put(staged: Path, url: str, shown: str, stop: threading.Event) -> AttemptError | None:
    """One try; what went wrong."""
    failed = f"the output could not be sent to {shown}"
    try:
        with (
            staged.open("rb") as file,
            breakable(stop.is_set) as session,
            session.put(
                url,
                data=file,
                stream=True,  # what the server has to say is not read
                timeout=(CONNECT_TIMEOUT_SECONDS, STORING_SECONDS),
                # A redirected PUT would be sent again without its body, or to somebody else.
                allow_redirects=False,
            ) as answer,
        ):
            status = answer.status_code
    except requests.RequestException as error:
        return _trouble(error, failed)
    except (FileNotFoundError, PermissionError) as error:  # requests' own are others
        return AttemptError(Reason.INTERNAL_ERROR, f"{failed}: {error.strerror}")
    return None if 200 <= status < 300 else _refused(status, failed)


def _refused(status: int, words: str) -> AttemptError:
    passing = status >= 500 or status in _PASSING
    reason = Reason.NETWORK_ERROR if passing else Reason.INPUT_ERROR
    return AttemptError(reason, f"{words}: HTTP status {status}")


def _check(answer: requests.Response, shown: str, max_bytes: int) -> None:
    if not answer.ok:
        raise _refused(answer.status_code, f"{shown} could not be fetched")
    announced = _length(answer)
    if announced == 0 or answer.status_code == 204:
        raise AttemptError(Reason.INPUT_ERROR, f"{shown} is empty")
    if announced is not None and announced > max_bytes:
        raise AttemptError(
            Reason.DISK_FULL,
            f"{shown} is {announced >> 20} MB; max_disk_mb allows {max_bytes >> 20} MB",
            "disk",
        )


def _length(answer: requests.Response) -> int | None:
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isdigit() and "Content-Encoding" not in answer.headers else None


def _copy(answer: requests.Response, target: Path, max_bytes: int, shown: str) -> None:
    got = 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(target, flags, 0o600), "wb") as file:
            for chunk in answer.iter_content(CHUNK_BYTES):
                got += len(chunk)
                if got > max_bytes:
                    raise AttemptError(
                        Reason.DISK_FULL,
                        f"{shown} is over the {max_bytes >> 20} MB of max_disk_mb",
                        "disk",
                    )
                file.write(chunk)
    except requests.RequestException:  # an OSError by descent, but not of our disk
        raise
    except OSError as error:
        raise AttemptError(
            Reason.DISK_FULL, f"the input could not be written: {error.strerror}"
        ) from None
    wanted = _length(answer)
    if wanted is not None and wanted != got:
        # urllib3 2 notices by itself.
        raise AttemptError(Reason.NETWORK_ERROR, f"{shown} could not be fetched: {_BROKEN_OFF}")


def _trouble(error: requests.RequestException, words: str) -> AttemptError:
    """What requests raised, as a sentence with its cause."""
    wrong_url = (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.TooManyRedirects,
    )
    if isinstance(error, wrong_url):
        return AttemptError(Reason.INPUT_ERROR, f"{words}: {type(error).__name__}")
    return AttemptError(Reason.NETWORK_ERROR, f"{words}: {_cause(error)}")


def _cause(error: BaseException) -> str:
    """The system's words for it where there are any, below what the libraries wrapped around."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, (requests.Timeout, TimeoutError)):
            return "no answer in time"
        if isinstance(below, OSError) and below.strerror:
            return below.strerror
        below = below.__cause__ or below.__context__
    return _BROKEN_OFF
