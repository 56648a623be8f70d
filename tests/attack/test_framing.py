"""What two readers could take for different requests, and what never ends."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser

from ffmpeg_jobs.model import Role
from ffmpeg_jobs.problems import TYPE_PREFIX
from ffmpeg_master import framing
from tests.api.conftest import Outside
from tests.attack.raw import answer, ask, connect, head

POST = "POST /jobs HTTP/1.1"
JSON = "Content-Type: application/json"
BODY = json.dumps({"parameters": {"duration": 5}}).encode()


@pytest.mark.parametrize("length", ["+31", "3_1", "-1", "31, 31", "0x1f", "", "9" * 30, "\xb2"])
def test_a_length_is_digits(master: Outside, length: str) -> None:
    request = head(master, POST, JSON, f"Content-Length: {length}") + b"\r\n" + BODY
    status, problem = ask(master, request)
    assert (status, problem["type"]) == (400, TYPE_PREFIX + "malformed-request")


@pytest.mark.parametrize(
    "broken", ["X: a\0b", "X: a\rY: b", "X: a\nY: b", "X: \r", "Content-Length: 31\0"]
)
def test_a_header_is_one_line_of_text(master: Outside, broken: str) -> None:
    status, problem = ask(master, head(master, "GET /jobs HTTP/1.1", broken) + b"\r\n")
    assert (status, problem["type"]) == (400, TYPE_PREFIX + "malformed-request")


@pytest.mark.parametrize("target", ["/jobs?state=\0", "/jo\rbs", "/jobs?a=\n", "/jobs\x7f"])
def test_a_target_has_no_control_characters(master: Outside, target: str) -> None:
    status, problem = ask(master, head(master, f"GET {target} HTTP/1.1") + b"\r\n")
    assert (status, problem["type"]) == (400, TYPE_PREFIX + "malformed-request")


def test_a_name_that_stands_twice_is_refused(master: Outside) -> None:
    twice = b'{"parameters": {"duration": 5, "duration": 6}}'
    request = head(master, POST, JSON, f"Content-Length: {len(twice)}") + b"\r\n" + twice
    status, problem = ask(master, request)
    assert (status, problem["type"]) == (400, TYPE_PREFIX + "invalid-json")
    assert "'duration' stands twice" in problem["detail"]


CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    "body",
    [b"2\r\n{}", b"1\r\n{\r\n" * 2000, b"0" * 100_000, b"0\r\n" + b"X: 1\r\n" * 20_000],
    ids=["broken", "tiny", "size", "trailers"],
)
@pytest.mark.parametrize("path", ["/jobs", "/nothing"])  # one of them reads no body
def test_chunks_that_break_off_or_never_end_stop_nothing(
    master: Outside, path: str, body: bytes
) -> None:
    with connect(master) as connection:
        request = head(master, f"POST {path} HTTP/1.1", JSON, CHUNKED) + b"\r\n" + body
        with suppress(OSError):  # it may be over, with more sent than was read
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            assert answer(connection)[0] in (400, 404, 422)
            assert connection.recv(1000) == b""  # it is over
    assert [*master.client(Role.READ).jobs()] == []
    assert "Traceback" not in master.log


def test_chunks_are_taken_as_ever(master: Outside) -> None:
    chunks = b"".join(b"%x;a=b\r\n%b\r\n" % (1, BODY[i : i + 1]) for i in range(len(BODY)))
    request = head(master, POST, JSON, CHUNKED) + b"\r\n" + chunks + b"0\r\nX: y\r\n\r\n"
    assert ask(master, request)[0] == 201


def paced(client: socket.socket) -> Any:
    """The request that comes over a real connection, read as the master does."""
    req = next(RequestParser(Config(), client, ("192.0.2.1", 1)))
    framing.pace(req, client)
    return req


@pytest.mark.parametrize("framed", ["Content-Length: 9", CHUNKED])
def test_a_body_comes_in_time(monkeypatch: pytest.MonkeyPatch, framed: str) -> None:
    monkeypatch.setattr(framing, "BODY_SECONDS", 0.05)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(f"{POST}\r\n{framed}\r\n\r\n1".encode())
        req = paced(ours)
        with pytest.raises(framing.TooSlow, match="it took more than"):
            req.body.read(100)


def test_a_body_that_drips_comes_too_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "BODY_SECONDS", 0.2)
    ours, theirs = socket.socketpair()
    over = threading.Event()

    def drip() -> None:
        with suppress(OSError):
            while not over.wait(0.01):
                theirs.sendall(b"1")

    with ours, theirs:
        theirs.sendall(f"{POST}\r\nContent-Length: 1000000\r\n\r\n".encode())
        req = paced(ours)
        dripping = threading.Thread(target=drip)
        dripping.start()
        with pytest.raises(framing.TooSlow):
            req.body.read(1000000)
        over.set()
        dripping.join()


def test_each_piece_of_an_answer_is_short() -> None:
    long = [b"a" * 100_000, b"b"]
    assert b"".join(framing.in_pieces(long)) == b"".join(long)
    assert max(map(len, framing.in_pieces(long))) == framing.PIECE_BYTES
    short = [b"a"]
    assert framing.in_pieces(short) is short


def test_what_is_read_has_its_own_time_again() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(f"{POST}\r\nContent-Length: 1\r\n\r\n1".encode())
        req = paced(ours)
        assert req.body.read(9) == b"1"
        assert ours.gettimeout() == framing.ANSWER_SECONDS


def test_what_wsgi_takes_for_another_header_is_left_out() -> None:
    req = SimpleNamespace(uri="/", headers=[("X_FORWARDED_FOR", "a"), ("X-FORWARDED-FOR", "b")])
    framing.check(req)
    assert req.headers == [("X-FORWARDED-FOR", "b")]
