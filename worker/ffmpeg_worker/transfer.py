"""Files over HTTP: an input before ffmpeg, an output after it, outside of the sandbox.

What a message shows of a URL leaves out its query, which may be a signature, and its user.
"""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse, InvalidURL
from io import FileIO
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ffmpeg_jobs.destination import NotAllowed, Policy
from ffmpeg_jobs.model import Reason
from ffmpeg_worker.breakable import breakable
from ffmpeg_worker.exchange import Way, ask
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.trouble import output_trouble

#: How long a server may be silent in the middle of an answer.
SILENCE_SECONDS: Final = 30.0
#: How long it may think about what it was sent: object stores answer when all is stored.
STORING_SECONDS: Final = 120.0
CHUNK_BYTES: Final = 1 << 18
#: Between the tries of an upload, and of a download that broke off.
PAUSES_SECONDS: Final = (1.0, 5.0)
_BROKEN_OFF: Final = "the connection broke off"
#: Statuses under 500 that another try may mend: Request Timeout, Too Many Requests (RFC 6585).
_PASSING: Final = (408, 429)
#: Redirects of a GET, and those that leave a PUT what it is (RFC 9110, 15.4).
_LEADS_ON: Final = (301, 302, 303, 307, 308)
_LEADS_PUT_ON: Final = (307, 308)
_STRONG_ETAG: Final = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')  # RFC 9110, 8.8.3
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", re.ASCII)


def fetch(
    url: str,
    target: Path,
    *,
    max_bytes: int,
    deadline_seconds: float,
    stop: threading.Event,
    policy: Policy,
    pauses_seconds: Sequence[float] = PAUSES_SECONDS,
) -> None:
    """GET ``url`` into the file ``target`` (mode 0600). What broke off goes on where it was after a
    pause, if the server can say that it is still the same file.

    Raises AttemptError: input_error for what the server says is not there, or what ``policy`` does
    not allow, network_error for what another try may mend, disk_full over ``max_bytes``, timeout
    after ``deadline_seconds``, canceled when ``stop`` is set.
    """
    shown = plain_url(url)
    deadline = time.monotonic() + deadline_seconds

    def over() -> bool:
        return stop.is_set() or time.monotonic() > deadline

    trouble: AttemptError | None = None
    try:
        with breakable(over) as hold, _opened(target) as file:
            way = Way(policy, hold, SILENCE_SECONDS, _LEADS_ON)
            _Download(url, file, max_bytes, way).bring(pauses_seconds, stop, over)
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
    *,
    policy: Policy,
) -> None:
    """PUT the file to a (presigned) URL, again after each pause where that may help.

    Raises AttemptError: network_error for what may be mended later, output_error for a URL
    that the server or ``policy`` refuses, canceled when ``stop`` is set.
    """
    shown = plain_url(url)
    for pause in (*pauses_seconds, None):
        if stop.is_set():
            raise AttemptError(Reason.CANCELED, "canceled before its output was sent")
        trouble = _put(staged, url, shown, stop, policy)
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


def _put(
    staged: Path, url: str, shown: str, stop: threading.Event, policy: Policy
) -> AttemptError | None:
    """One try; what went wrong."""
    failed = f"the output could not be sent to {shown}"
    try:
        file = staged.open("rb")
    except OSError as error:
        return AttemptError(Reason.INTERNAL_ERROR, f"{failed}: {error.strerror}")
    with file, breakable(stop.is_set) as hold:
        way = Way(policy, hold, STORING_SECONDS, _LEADS_PUT_ON)
        headers = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
        try:
            with ask("PUT", url, way, headers, file) as answer:
                status = answer.status  # what the server has to say is not read
        except (OSError, HTTPException, ValueError, NotAllowed) as error:
            return _trouble(error, failed, Reason.OUTPUT_ERROR)
    return None if 200 <= status < 300 else _refused(status, failed, Reason.OUTPUT_ERROR)


@contextmanager
def _opened(target: Path) -> Iterator[FileIO]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        file = FileIO(os.open(target, flags, 0o600), "wb")
    except OSError as error:
        raise _not_written(error) from None
    with file:
        yield file


class _Download:
    """A file on its way: how much of it is there, and which file it is."""

    def __init__(self, url: str, file: FileIO, max_bytes: int, way: Way) -> None:
        self._url = url
        self._shown = plain_url(url)
        self._file = file
        self._max_bytes = max_bytes
        self._way = way
        self._got = 0
        self._etag: str | None = None  #: None: it cannot be told from another file
        self._length: int | None = None

    def bring(
        self, pauses_seconds: Sequence[float], stop: threading.Event, over: Callable[[], bool]
    ) -> None:
        """All of it; the pauses begin again whenever more of it came. Raises AttemptError."""
        left = list(pauses_seconds)
        before = 0
        while (trouble := self._go_on()) is not None:
            if self._got > before:
                before, left = self._got, list(pauses_seconds)
            if not left or not self._got or self._etag is None or over():
                raise trouble
            stop.wait(left.pop(0))

    def _go_on(self) -> AttemptError | None:
        """One request, for what is not there yet; what went wrong that may pass. Raises others."""
        headers = {}
        if self._got and self._etag is not None:
            # Another file comes from its beginning (RFC 9110, 13.1.5).
            headers = {"Range": f"bytes={self._got}-", "If-Range": self._etag}
        try:
            with ask("GET", self._url, self._way, headers) as answer:
                self._begin(answer, asked_for_rest=bool(headers))
                self._copy(answer)
            return None
        except (OSError, HTTPException, ValueError, NotAllowed) as error:
            trouble = _trouble(error, f"{self._shown} could not be fetched", Reason.INPUT_ERROR)
        except AttemptError as error:
            trouble = error
        if trouble.reason is not Reason.NETWORK_ERROR:
            raise trouble
        return trouble

    def _begin(self, answer: HTTPResponse, *, asked_for_rest: bool) -> None:
        """Hold the head of an answer against what is there."""
        failed = f"{self._shown} could not be fetched"
        if answer.status == 206 and asked_for_rest:
            self._check_rest(answer)
        elif answer.status == 204:
            raise AttemptError(Reason.INPUT_ERROR, f"{self._shown} is empty")
        elif not 200 <= answer.status < 300 or answer.status == 206:
            raise _refused(answer.status, failed, Reason.INPUT_ERROR)
        else:
            self._got, self._length = 0, answer.length
            etag = answer.headers.get("ETag", "")
            self._etag = etag if _STRONG_ETAG.fullmatch(etag) else None
        _check_plain(answer, failed)
        if self._length == 0:
            raise AttemptError(Reason.INPUT_ERROR, f"{self._shown} is empty")
        if self._length is not None and self._length > self._max_bytes:
            raise AttemptError(
                Reason.DISK_FULL,
                f"{self._shown} is {-(-self._length >> 20)} MB, and its max_disk_mb is "
                f"{self._max_bytes >> 20} MB",
                "disk",
                final=True,
            )
        self._write_from_here()

    def _check_rest(self, answer: HTTPResponse) -> None:
        told = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        whole = self._length if self._length is not None else "*"
        good = told is not None and int(told[1]) == self._got and told[2] in ("*", str(whole))
        if not good or answer.headers.get("ETag", self._etag) != self._etag:
            self._etag = None
            words = f"{self._shown} could not be fetched: its server sent another part of it"
            raise AttemptError(Reason.NETWORK_ERROR, words)

    def _write_from_here(self) -> None:
        try:
            self._file.seek(self._got)
            self._file.truncate()
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ESPIPE):  # it is no file; only tests do that
                raise _not_written(error) from None

    def _copy(self, answer: HTTPResponse) -> None:
        while chunk := answer.read1(CHUNK_BYTES):
            self._got += len(chunk)
            if self._got > self._max_bytes:
                raise AttemptError(
                    Reason.DISK_FULL,
                    f"{self._shown} is over {self._got >> 20} MB, and its max_disk_mb is "
                    f"{self._max_bytes >> 20} MB",
                    "disk",
                    final=True,
                )
            _write(self._file, chunk)
        if self._length is not None and self._length != self._got:
            words = f"{self._shown} could not be fetched: {_BROKEN_OFF}"
            raise AttemptError(Reason.NETWORK_ERROR, words)
        if not self._got:
            raise AttemptError(Reason.INPUT_ERROR, f"{self._shown} is empty")


def _check_plain(answer: HTTPResponse, failed: str) -> None:
    """A body that is packed would have to be unpacked, to any size. Nobody asked for one."""
    for name, plain in (("Content-Encoding", "identity"), ("Transfer-Encoding", "chunked")):
        for value in answer.headers.get_all(name, ()):
            if value.strip().lower() != plain:
                words = f"{failed}: its server sends it with {name}: {value.strip()[:40]}, unasked"
                raise AttemptError(Reason.INPUT_ERROR, words)


def _write(file: FileIO, chunk: bytes) -> None:
    left = memoryview(chunk)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise _not_written(error) from None


def _not_written(error: OSError) -> AttemptError:
    return output_trouble(error, "the input could not be written")


def _refused(status: int, words: str, reason: Reason) -> AttemptError:
    """Another try may mend it, or it is what ``reason`` says, for good."""
    passing = status >= 500 or status in _PASSING
    reason = Reason.NETWORK_ERROR if passing else reason
    return AttemptError(reason, f"{words}: HTTP status {status}", final=not passing)


def _trouble(error: Exception, words: str, reason: Reason) -> AttemptError:
    """What went wrong, as a sentence with its cause; ``reason``: if it is the URL."""
    if isinstance(error, TimeoutError):
        return AttemptError(Reason.NETWORK_ERROR, f"{words}: no answer in time")
    if isinstance(error, (OSError, HTTPException)) and not isinstance(error, InvalidURL):
        return AttemptError(Reason.NETWORK_ERROR, f"{words}: {_cause(error)}")
    # Another machine may allow it.
    return AttemptError(reason, f"{words}: {error}", final=not isinstance(error, NotAllowed))


def _cause(error: OSError | HTTPException) -> str:
    """The system's words for it; most of http.client's say only that the other side left off."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if type(error) is HTTPException else _BROKEN_OFF
