"""A server that does what a test says, and what becomes of who fetches from it or sends to it."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ffmpeg_jobs.destination import Policy
from ffmpeg_jobs.model import Reason
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.transfer import fetch, upload

#: The server of a test, and nothing else of this machine.
HERE = Policy(("127.0.0.1/32",))
BODY = bytes(range(256)) * 8192  # 2 MiB
#: More than the buffers of a connection hold.
MUCH = 64 << 20
BOMB = gzip.compress(bytes(MUCH))


class Talk(BaseHTTPRequestHandler):
    """One request, of which the test says how it is answered."""

    protocol_version = "HTTP/1.1"
    server: Stage

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append(self)
        with suppress(ConnectionError):
            self.server.answer(self)
        self.close_connection = True

    def do_PUT(self) -> None:
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        """The whole answer; headers as keywords: ``Content_Encoding``."""
        self.head(status, Content_Length=str(len(body)), **headers)
        self.wfile.write(body)

    def head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def pour(self, piece: bytes) -> int:
        """Send it until nobody takes it, or MUCH was sent; how much that was."""
        sent = 0
        with suppress(ConnectionError):
            while sent < MUCH:
                self.wfile.write(piece)
                sent += len(piece)
        return sent


class Stage(ThreadingHTTPServer):
    answer: Callable[[Talk], None]
    asked: list[Talk]

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), Talk)
        self.asked = []

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_port}"


@dataclass(frozen=True)
class Ending:
    reason: Reason | None
    words: str = ""


def get(url: str, target: Path, policy: Policy = HERE, max_bytes: int = 8 << 20) -> Ending:
    return ending(
        lambda: fetch(
            url,
            target,
            max_bytes=max_bytes,
            deadline_seconds=60,
            stop=threading.Event(),
            policy=policy,
            pauses_seconds=(0, 0),
        )
    )


def put(url: str, directory: Path, policy: Policy = HERE) -> Ending:
    staged = directory / "output"
    staged.write_bytes(BODY)
    return ending(lambda: upload(staged, url, threading.Event(), (0,), policy=policy))


def ending(action: Callable[[], None]) -> Ending:
    try:
        action()
    except AttemptError as error:
        return Ending(error.reason, str(error))
    return Ending(None)
