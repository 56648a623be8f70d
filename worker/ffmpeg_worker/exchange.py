"""A request over HTTP to where the policy allows, and the answer, of which nothing is believed.

Each redirect is a request like the first: checked, and on a connection of its own. Of an answer
only the head is read here, and no more of it than HEAD_BYTES; whoever reads the body gets its bytes
as they come, never decoded. No proxy, no cookies, no .netrc.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, BinaryIO, Final
from urllib.parse import quote, urljoin

from ffmpeg_jobs import __version__, dialing
from ffmpeg_jobs.destination import Policy
from ffmpeg_jobs.dialing import Target, target_of
from ffmpeg_worker.breakable import Hold

CONNECT_TIMEOUT_SECONDS: Final = 10.0
#: Status line and headers of one answer, with those of informational answers before it.
HEAD_BYTES: Final = 64 << 10
#: Redirects that are followed.
HOPS: Final = 5
SEND_BYTES: Final = 1 << 18
#: What stands in a URL as it is (RFC 3986), with what is encoded already.
_AS_IT_IS: Final = "!$%&'()*+,/:;=?@[]~"


class Misled(ValueError):
    """The URL, or where its server sends us, is none to go to. The message says why."""


@dataclass(frozen=True)
class Way:
    """How requests travel."""

    policy: Policy
    hold: Hold  #: is given each connection
    silence_seconds: float  #: a server may be silent for so long
    follow: Collection[int]  #: statuses of redirects that are followed


@contextmanager
def ask(
    method: str,
    url: str,
    way: Way,
    headers: Mapping[str, str],
    body: BinaryIO | None = None,
) -> Iterator[HTTPResponse]:
    """The answer, after redirects; ``body`` is sent with each request.

    Raises Misled, NotAllowed, OSError, HTTPException.
    """
    target = _web(url)
    for _ in range(HOPS + 1):
        with _request(method, target, way, headers, body) as answer:
            location = answer.headers.get("Location")
            if answer.status not in way.follow or location is None:
                yield answer
                return
        target = _next(target, location)
    raise Misled(f"it leads on through more than {HOPS} redirects")


def _web(url: str) -> Target:
    try:
        target = target_of(url)
    except ValueError as error:
        raise Misled(str(error)) from None
    if target.scheme not in ("http", "https"):
        raise Misled(f"{target.scheme}:// is neither http nor https")
    return target


def _next(target: Target, location: str) -> Target:
    """Where a redirect leads: not from https to http, and to others without what is secret."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    here = f"{target.scheme}://{host}:{target.port}{target.path}"
    # Headers are read as Latin-1, and URLs in them may be UTF-8.
    there = location.encode("latin-1", "replace").decode("utf-8", "replace")
    try:
        found = _web(urljoin(here, there))
    except ValueError as error:
        raise Misled(f"it leads to a URL that cannot be used: {error}") from None
    if target.scheme == "https" and found.scheme != "https":
        raise Misled(f"it leads from https to http://{found.host}, which is not encrypted")
    if found.user is None and found.origin == target.origin:
        found = replace(found, user=target.user, password=target.password)
    return found


@contextmanager
def _request(
    method: str, target: Target, way: Way, headers: Mapping[str, str], body: BinaryIO | None
) -> Iterator[HTTPResponse]:
    with closing(_connection(target, way)) as connection:
        if body is not None:
            body.seek(0)
        # Who refuses a body may answer, and close, before it has all come.
        with suppress(BrokenPipeError, ConnectionResetError):
            path = quote(target.path, safe=_AS_IT_IS)
            connection.request(method, path, body, {**_headers(target), **headers})
        with closing(connection.getresponse()) as answer:
            yield answer


def _connection(target: Target, way: Way) -> HTTPConnection:
    """One to an address that was checked; the certificate has to be the host's."""
    sock = dialing.connect(target.host, target.port, way.policy, CONNECT_TIMEOUT_SECONDS)
    try:
        way.hold(sock)
        if target.scheme == "https":
            context = ssl.create_default_context()
            context.set_alpn_protocols(["http/1.1"])
            sock = context.wrap_socket(sock, server_hostname=target.host)
        sock.settimeout(way.silence_seconds)
    except (OSError, ValueError):
        sock.close()
        raise
    kind = HTTPSConnection if target.scheme == "https" else HTTPConnection
    connection: HTTPConnection = kind(target.host, target.port, blocksize=SEND_BYTES)
    connection.sock, connection.auto_open = sock, 0  # never one that was not checked
    connection.response_class = _Answer
    return connection


def _headers(target: Target) -> dict[str, str]:
    headers = {
        "Accept": "*/*",
        # A file as it is: packed ones would unfold to any size.
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": f"ffmpeg-worker/{__version__}",
    }
    if target.user is not None:
        secret = base64.b64encode(f"{target.user}:{target.password}".encode()).decode("ascii")
        headers["Authorization"] = f"Basic {secret}"
    return headers


class _Answer(HTTPResponse):
    """With a small head."""

    def begin(self) -> None:
        whole, self.fp = self.fp, _Head(self.fp)  # type: ignore[assignment]  # as far as begin() asks
        try:
            super().begin()
        finally:
            self.fp = whole


class _Head:
    """A file whose lines are HEAD_BYTES together, at most."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = HEAD_BYTES

    def readline(self, size: int) -> bytes:
        line: bytes = self._file.readline(min(size, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise HTTPException(f"the headers of its answer are over {HEAD_BYTES >> 10} KB")
        return line
