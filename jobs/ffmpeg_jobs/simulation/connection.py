"""HTTP/1.1 on asyncio's streams: thousands of connections in one thread.

Only what a master answers with (RFC 9112): bodies come with their length.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from ffmpeg_jobs.line import READ_TIMEOUT_SECONDS, Endpoint
from ffmpeg_jobs.problems import MasterUnreachable
from ffmpeg_jobs.problems import from_json as problem_from_json

_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Place:
    """One master, and what is said to it each time."""

    url: str
    host: str
    port: int
    prefix: str  #: of every path
    headers: str
    tls: ssl.SSLContext | None


def places(endpoint: Endpoint) -> tuple[Place, ...]:
    """The masters that share a farm. Raises MasterUnreachable for files that are no PEM."""
    return tuple(_place(url.strip(), endpoint) for url in endpoint.url.split(","))


def _place(url: str, endpoint: Endpoint) -> Place:
    parts = urlsplit(url)
    headers = f"Host: {parts.netloc}\r\nAuthorization: Bearer {endpoint.key}\r\n"
    try:
        tls = _tls(endpoint) if parts.scheme == "https" else None
    except OSError as error:
        raise MasterUnreachable(f"no TLS with the master at {url}: {error}") from error
    port = parts.port or _PORTS[parts.scheme]
    return Place(url, parts.hostname or "", port, parts.path.rstrip("/"), headers, tls)


def _tls(endpoint: Endpoint) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=endpoint.ca)
    if endpoint.insecure_skip_verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if endpoint.client_cert is not None:
        context.load_cert_chain(endpoint.client_cert, endpoint.client_key)
    return context


class Connection:
    """One request at a time; opened when it is needed, and kept."""

    def __init__(self, masters: Sequence[Place], first: int = 0) -> None:
        """Begins with that one of the masters; goes on to the next when one does not answer."""
        self._masters = masters
        self._at = first
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        wait_seconds: float = 0.0,
    ) -> Any:
        """The JSON of a good answer; None: it holds none. Raises a Problem or MasterUnreachable.

        ``wait_seconds``: how long the master may hold the answer back.
        """
        place = self._masters[self._at % len(self._masters)]
        request = _request(place, method, path, body, headers or {})
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS + wait_seconds):
                status, content = await self._exchange(place, request)
            found = json.loads(content) if content else None
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self.close()
            self._at += 1
            why = str(error) or type(error).__name__
            raise MasterUnreachable(f"no answer from the master at {place.url}: {why}") from error
        except asyncio.CancelledError:
            self.close()
            raise
        if status >= 300:
            raise problem_from_json(status, found if isinstance(found, dict) else {})
        return found

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, place: Place, request: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(place.host, place.port, ssl=place.tls)
        reader, writer = self._streams
        writer.write(request)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = _field(head, "content-length")
        if _field(head, "transfer-encoding") is not None:
            raise ValueError("an answer without a length")
        content = await reader.readexactly(int(length)) if length else b""
        if _field(head, "connection") == "close":
            self.close()
        with suppress(IndexError):
            return int(head.split(" ", 2)[1]), content
        raise ValueError("no HTTP")


def _request(place: Place, method: str, path: str, body: Any, headers: Mapping[str, str]) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    own = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if body is not None:
        own += "Content-Type: application/json\r\n"
    head = f"{method} {place.prefix}{path} HTTP/1.1\r\n{place.headers}{own}"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode("latin-1") + content


def _field(head: str, name: str) -> str | None:
    """The value of a header; ``head`` is in lower case."""
    _, found, rest = head.partition(f"\r\n{name}:")
    return rest.partition("\r\n")[0].strip() if found else None
