"""Numbers and foreign text on a terminal, and the exit status of an ending."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ffmpeg_jobs.cli import details, exits, words
from ffmpeg_jobs.cli.submit import FIELDS, laid_over
from ffmpeg_jobs.contract import JOB, LIMITS, PARAMETERS
from ffmpeg_jobs.model import Job, JobStatus, Progress, Reason, State, Usage
from ffmpeg_jobs.problems import (
    Forbidden,
    MasterUnreachable,
    MasterUntrusted,
    NotFound,
    Unauthorized,
)
from ffmpeg_jobs.settings import ConfigError

TIME = "2026-01-01T00:00:00.000Z"
NOW = datetime(2026, 1, 1, 0, 3, 20, tzinfo=UTC)
STATUS = JobStatus("aaaaaaaaaaaa", State.QUEUED, Job(), TIME, TIME)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0 s"), (59.9, "59 s"), (60, "1 min"), (7199, "1 h"), (86400 * 5, "5 d")],
)
def test_spans(seconds: float, shown: str) -> None:
    assert words.span(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (1 << 30, "1.0 GiB"),
        (1 << 50, "1024.0 TiB"),
    ],
)
def test_sizes(size: int, shown: str) -> None:
    assert words.size(size) == shown


def test_clock_and_age() -> None:
    assert words.clock(3725.4) == "1:02:05"
    assert words.age(TIME, NOW) == "3 min"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[31mred\x1b[0m", "?[31mred?[0m"),
        ("frame=1\rframe=2\r\n", "frame=1\nframe=2\n"),
        ("\x9b31m\x7f\x00", "?31m??"),
        ("日本語", "日本語"),
    ],
)
def test_nothing_commands_the_terminal(text: str, shown: str) -> None:
    assert words.printable(text) == shown


@pytest.mark.parametrize(
    ("changes", "state", "percent"),
    [
        ({}, "queued", ""),
        ({"state": State.COMPLETED}, "completed", "100 %"),
        ({"state": State.RUNNING, "progress": Progress(41.6)}, "running", "42 %"),
        ({"state": State.RUNNING, "progress": Progress()}, "running", ""),
        ({"state": State.RUNNING, "cancel_requested": True}, "running (canceling)", ""),
        ({"state": State.FAILED, "reason": Reason.TIMEOUT}, "failed (timeout)", ""),
        ({"state": State.CANCELED, "reason": Reason.CANCELED}, "canceled", ""),
        ({"progress": Progress(90)}, "queued", ""),
    ],
)
def test_state_and_percent(changes: dict[str, Any], state: str, percent: str) -> None:
    job = replace(STATUS, **changes)
    assert (words.state(job), words.percent(job)) == (state, percent)


def test_what_was_not_counted_is_not_shown() -> None:
    assert words.used(Usage()) == ""
    assert words.used(Usage(memory_peak_bytes=0)) == "memory peak 0 B"
    failed = replace(STATUS, state=State.FAILED, error="it broke", usage=Usage())
    assert words.ending(failed) == "aaaaaaaaaaaa failed: it broke"


def test_details_say_what_could_not_be_held() -> None:
    shown = "\n".join(details.lines(replace(STATUS, enforced=False), NOW))
    assert "enforced    no: the worker could not hold it to its limits" in shown
    assert "created     2026-01-01T00:00:00.000Z (3 min ago)" in shown
    assert "worker" not in "\n".join(details.lines(STATUS, NOW))


@pytest.mark.parametrize(
    ("state", "reason", "status"),
    [
        (State.COMPLETED, None, exits.Exit.DONE),
        (State.CANCELED, Reason.CANCELED, exits.Exit.CANCELED),
        (State.FAILED, None, exits.Exit.FAILED),
        (State.FAILED, Reason.INPUT_ERROR, exits.Exit.FAILED),
        (State.FAILED, Reason.WORKER_LOST, exits.Exit.FAILED),
        (State.FAILED, Reason.TIMEOUT, exits.Exit.TIMEOUT),
        (State.FAILED, Reason.OUT_OF_MEMORY, exits.Exit.OUT_OF_MEMORY),
    ],
)
def test_a_job_has_its_exit_status(state: State, reason: Reason | None, status: exits.Exit) -> None:
    assert exits.of_job(replace(STATUS, state=state, reason=reason)) is status


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("x"), 1),
        (MasterUnreachable("x"), 69),
        (MasterUntrusted("x"), 69),
        (Unauthorized("x"), 77),
        (Forbidden("x"), 77),
        (ConfigError("x"), 78),
    ],
)
def test_a_refusal_has_its_exit_status(error: Exception, status: int) -> None:
    assert isinstance(error, exits.Refusal)
    assert exits.of_refusal(error) == status


def test_every_field_of_a_job_has_its_flag() -> None:
    tables = {"": JOB, "parameters": PARAMETERS, "resource_limits": LIMITS}
    fields = {(t, n) for t, schema in tables.items() for n in schema["properties"]}
    fields -= {("", "parameters"), ("", "resource_limits")}
    # of another shape
    others = ("labels", "worker_labels", "require_enforcement", "overwrite", "depends_on")
    fields -= {("", name) for name in others}
    assert {(row.table, row.name) for row in FIELDS} == fields


def test_flags_do_not_hide_what_is_wrong_in_the_file() -> None:
    laid = laid_over({"parameters": 1, "labels": []}, {"crf": 3, "queue": "live"}, {"a": "b"})
    assert laid == {"parameters": 1, "labels": [], "queue": "live"}
