"""What a master does again and again outlives its troubles, and tells of each once."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from structlog.testing import capture_logs

from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.housekeeping import repeat

FULL = Unavailable("the database does not answer: database or disk is full")


def told(rounds: Iterable[Exception | None]) -> list[tuple[str, str | None, bool]]:
    """What the log says of rounds that end so: the event, its reason, whether with a traceback."""
    ends, stopped = iter(rounds), threading.Event()

    def work() -> None:
        try:
            error = next(ends)
        except StopIteration:
            stopped.set()
            return
        if error is not None:
            raise error

    with capture_logs() as lines:
        repeat(stopped, 0, work)
    return [(line["event"], line.get("reason"), "exc_info" in line) for line in lines]


def test_a_full_database_is_two_lines_however_long_it_lasts() -> None:
    rows = told([None, *[FULL] * 100, None, None])
    assert rows == [("rounds_fail", str(FULL), False), ("rounds_go_on", None, False)]


def test_it_is_told_again_when_it_comes_again() -> None:
    assert [row[0] for row in told([FULL, None, FULL, FULL])] == [
        "rounds_fail",
        "rounds_go_on",
        "rounds_fail",
        "rounds_go_on",
    ]


def test_a_fault_of_ours_has_its_traceback_once() -> None:
    rows = told([*[ValueError("x")] * 10, KeyError("y"), KeyError("y")])
    assert rows == [
        ("rounds_fail", None, True),
        ("rounds_fail", None, True),
        ("rounds_go_on", None, False),
    ]
