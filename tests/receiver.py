"""A receiver of webhooks: a real HTTP server that verifies as the specification says."""

from __future__ import annotations

import base64
import hmac
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]  #: names in lower case
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def told(self) -> Any:
        return json.loads(self.body)

    @property
    def genuine(self) -> bool:
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        signed = b".".join(
            [self.id.encode(), self.headers["webhook-timestamp"].encode(), self.body]
        )
        mark = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
        return self.headers["webhook-signature"] == f"v1,{mark}"


@dataclass(frozen=True)
class Receiver:
    port: int
    answers: list[int] = field(default_factory=list)  #: the next ones; then 204
    received: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?for=me"

    def of(self, job_id: str) -> list[str]:
        """What was told of a job, in the order in which it came."""
        found = (received.told for received in list(self.received))
        return [told["type"] for told in found if told["data"]["id"] == job_id]


@contextmanager
def receiver(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """``context``: it speaks TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            open_.received.append(Received(self.path, headers, body))
            status = open_.answers.pop(0) if open_.answers else 204
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"http://127.0.0.1:{open_.port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    open_ = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield open_
    server.shutdown()
    server.server_close()
    thread.join()
