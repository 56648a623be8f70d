"""What no library would send."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any

from ffmpeg_jobs.model import Role
from tests.api.conftest import PATIENCE_SECONDS, Outside


@contextmanager
def connect(master: Outside) -> Iterator[socket.socket]:
    """A connection to the master."""
    address = master.listener.getsockname()
    with socket.create_connection(address, timeout=PATIENCE_SECONDS) as connection:
        yield connection


def head(master: Outside, line: str, *headers: str, role: Role = Role.SUBMIT) -> bytes:
    """A request's line and headers, with a key and without the end."""
    key = f"Authorization: Bearer {master.secrets[role]}"
    return "".join(f"{text}\r\n" for text in (line, "Host: master", key, *headers)).encode("latin1")


def answer(connection: socket.socket) -> tuple[int, Any]:
    """The status and the JSON of what is answered."""
    response = HTTPResponse(connection)
    response.begin()
    content = response.read()
    return response.status, json.loads(content) if content else None


def ask(master: Outside, request: bytes) -> tuple[int, Any]:
    """What is answered to it, if no more is sent."""
    with connect(master) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return answer(connection)
