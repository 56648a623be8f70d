"""Failures cost time, per address and for a while; what proxies say is believed if trusted."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from ffmpeg_jobs.problems import NotFound, TooManyRequests, Unauthorized
from ffmpeg_master.guard import FAILURE_SECONDS, FAILURES_MOST, Guard
from ffmpeg_master.origin import origin
from ffmpeg_master.refusals import LINES_MOST, WINDOW_SECONDS, Refusals


def test_failures_are_forgiven_one_by_one() -> None:
    now = [1000.0]
    guard = Guard(lambda: now[0])
    for _ in range(FAILURES_MOST):
        assert guard.wait_seconds("192.0.2.1") == 0
        guard.failed("192.0.2.1")
    assert guard.wait_seconds("192.0.2.1") == FAILURE_SECONDS
    assert guard.wait_seconds("192.0.2.2") == 0
    now[0] += FAILURE_SECONDS
    assert guard.wait_seconds("192.0.2.1") == 0
    guard.failed("192.0.2.1")
    assert guard.wait_seconds("192.0.2.1") == FAILURE_SECONDS


def test_an_ipv6_network_is_one_address() -> None:
    guard = Guard(lambda: 0.0)
    for number in range(FAILURES_MOST):
        guard.failed(f"2001:db8::{number:x}")
    assert guard.wait_seconds("2001:db8::ffff") > 0
    assert guard.wait_seconds("2001:db8:0:1::1") == 0


def test_the_log_takes_a_few_refusals_of_an_address_and_counts_the_rest() -> None:
    now = [1000.0]
    refusals = Refusals(lambda: now[0])
    with capture_logs() as lines:
        refusals.tell("GET", "/jobs", "192.0.2.1", NotFound("not a try"))
        refusals.tell("GET", "/jobs", "192.0.2.1", Unauthorized("who?"))
        for _ in range(500):
            refusals.tell("GET", "/jobs", "192.0.2.1", TooManyRequests("slower"))
        refusals.tell("PUT", "/jobs", "192.0.2.2", Unauthorized("who?"))
        now[0] += WINDOW_SECONDS
        refusals.tell("GET", "/jobs", "192.0.2.1", Unauthorized("who?"))
        refusals.tell("GET", "/jobs", "192.0.2.1", Unauthorized("who?"))
    assert [line["address"][-1] for line in lines] == ["1"] * LINES_MOST + ["2", "1", "1"]
    assert [line.get("untold") for line in lines[-3:]] == [None, 501 - LINES_MOST, None]
    assert lines[0] == {
        "event": "request_refused",
        "log_level": "warning",
        "method": "GET",
        "path": "/jobs",
        "address": "192.0.2.1",
        "status": 401,
        "detail": "who?",
    }


@pytest.mark.parametrize(
    ("connected", "forwarded", "trusted", "expected"),
    [
        ("192.0.2.9", "10.1.1.1", (), "192.0.2.9"),
        ("192.0.2.9", "10.1.1.1", ("192.0.2.0/24",), "10.1.1.1"),
        ("192.0.2.9", "6.6.6.6, 10.1.1.1", ("192.0.2.9/32",), "10.1.1.1"),
        ("192.0.2.9", "10.1.1.1, 192.0.2.8", ("192.0.2.0/24",), "10.1.1.1"),
        ("192.0.2.9", "nonsense", ("192.0.2.0/24",), "192.0.2.9"),
        ("", "10.1.1.1", ("unix",), "10.1.1.1"),
        ("", "10.1.1.1", (), ""),
        ("192.0.2.9", None, ("192.0.2.9/32",), "192.0.2.9"),
        ("::ffff:192.0.2.9", "10.1.1.1", ("192.0.2.9",), "10.1.1.1"),
        ("::ffff:192.0.2.9", "10.1.1.1", ("::ffff:192.0.2.9",), "10.1.1.1"),
        ("192.0.2.9", "6.6.6.6, ::ffff:10.1.1.1", ("192.0.2.0/24",), "10.1.1.1"),
        ("::ffff:192.0.2.9", "10.1.1.1", ("10.0.0.0/8",), "192.0.2.9"),
        ("2001:db8::1", "10.1.1.1", ("2001:db8::/32",), "10.1.1.1"),
    ],
)
def test_origin(
    connected: str, forwarded: str | None, trusted: tuple[str, ...], expected: str
) -> None:
    assert origin(connected, forwarded, trusted) == expected
