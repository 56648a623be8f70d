"""What is no HTTP as it should be is refused like all else, and makes no fault."""

from __future__ import annotations

import json
import socket
from http.client import HTTPResponse

import pytest

from ffmpeg_jobs import problems
from ffmpeg_jobs.model import Role
from tests.api.conftest import PATIENCE_SECONDS, Launch

GET = b"GET /health HTTP/1.1\r\n"
POST = b"POST /jobs HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer KEY\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "words"),
    [
        (b"GET /jobs?x=" + b"1" * 5000 + b" HTTP/1.1\r\n\r\n", "Request Line is too large"),
        (GET + b"X: 1\r\n" * 200 + b"\r\n", "limit request headers fields"),
        (GET + b"X: " + b"1" * 9000 + b"\r\n\r\n", "limit request headers fields size"),
        (GET + b"X Y: 1\r\n\r\n", "Invalid HTTP header name"),
        (b"GET /health\r\n\r\n", "Invalid HTTP request line"),
        (CHUNKED + b"zz\r\n", "the body did not arrive whole: Invalid chunk size"),
        (CHUNKED + b"5\r\n{}", "the body did not arrive whole"),
    ],
)
def test_what_is_no_http_is_a_problem_too(launch: Launch, request_bytes: bytes, words: str) -> None:
    master = launch().ready()
    key = master.secrets[Role.ADMIN].encode()
    address = master.listener.getsockname()
    with socket.create_connection(address, timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(request_bytes.replace(b"KEY", key))
        connection.shutdown(socket.SHUT_WR)
        answer = HTTPResponse(connection)
        answer.begin()
        problem = json.loads(answer.read())
    assert (answer.status, answer.getheader("Content-Type")) == (400, problems.MEDIA_TYPE)
    assert problem["type"] == problems.TYPE_PREFIX + "malformed-request"
    assert words in problem["detail"]
    assert "request_failed" not in master.log
