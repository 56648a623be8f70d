"""A job may put anything where it writes: that spoils what is known of it, and nothing else."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ffmpeg_jobs import contract
from ffmpeg_jobs.model import Heartbeat, Progress
from ffmpeg_jobs.schema import check, to_json
from ffmpeg_worker import jobdir
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.untrusted import head, tail, until
from ffmpeg_worker.watch import report_of
from tests.unit.test_plan import CONFIG, planned

HUGE = "9" * 5000


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Written down; its job has not written anything yet."""
    made = planned(replace(CONFIG, state_directory=tmp_path))
    jobdir.record(made)
    return made


@pytest.fixture
def _patience() -> Iterator[None]:
    """Who waits at a pipe waits for ever."""

    def enough(_signal: int, _frame: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, enough)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def short(value: str) -> str:
    return f"{value[:9]}-{len(value)}"


def loop(path: Path) -> None:
    path.symlink_to(path)


def link(path: Path) -> None:
    secret = path.parents[1] / "secret"
    secret.write_text("frame=7\nprogress=continue\nframe=7\nprogress=continue\n")
    path.symlink_to(secret)


def closed(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads it all the same")
    path.touch(mode=0)


@pytest.mark.usefixtures("_patience")
@pytest.mark.parametrize("put", [Path.mkdir, loop, link, closed, os.mkfifo])
def test_whatever_lies_where_the_progress_should_be(
    plan: Plan, put: Callable[[Path], None]
) -> None:
    put(Path(plan.directory) / "work/progress")
    claim = plan.claim
    found = report_of(plan, claim)
    assert (found.job_id, found.token, found.progress) == (claim.job_id, claim.token, None)


def test_a_report_that_cannot_be_made_is_bare(plan: Plan) -> None:
    (Path(plan.directory) / "holder.json").mkdir()
    assert report_of(plan, plan.claim, "why").unmet == "why"


@pytest.mark.parametrize("value", ["-7", "1e308", "1e-308", HUGE, "nan", "inf", "٣"], ids=short)
@pytest.mark.parametrize("name", ["frame", "fps", "speed", "out_time_us", "total_size"])
def test_no_figure_spoils_the_heartbeat(plan: Plan, name: str, value: str) -> None:
    duration = "[info]   Duration: 00:01:00.00, start: 0\n"
    (Path(plan.directory) / "log").write_text(duration)
    rows = {"frame": "1", "fps": "1", "out_time_us": "1", "total_size": "1", "speed": "1x"}
    rows[name] = value
    block = "".join(f"{key}={text}\n" for key, text in rows.items())
    (Path(plan.directory) / "work/progress").write_text(f"\n{block}progress=continue\n")
    report = report_of(plan, plan.claim)
    assert isinstance(report.progress, Progress)
    check(contract.HEARTBEAT, to_json(Heartbeat((report,))))


@pytest.mark.parametrize("hours", [HUGE, "9" * 400, "٣"], ids=short)
def test_no_length_spoils_the_heartbeat(plan: Plan, hours: str) -> None:
    (Path(plan.directory) / "log").write_text(f"[info]   Duration: {hours}:00:00.00, start: 0\n")
    (Path(plan.directory) / "work/progress").write_text("\nframe=1\nprogress=continue\n")
    report = report_of(plan, plan.claim)
    check(contract.HEARTBEAT, to_json(Heartbeat((report,))))


def test_a_part_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    assert (head(file, 4), tail(file, 4)) == ("0123", "6789")
    assert head(file, 99) == tail(file, 99) == "0123456789"
    assert head(tmp_path / "no", 4) == tail(tmp_path / "no", 4) == ""


@pytest.mark.parametrize("before", [0, 8190, 8192, 30_000])
def test_a_file_to_its_mark(tmp_path: Path, before: int) -> None:
    file = tmp_path / "file"
    file.write_text("x" * before + "MARK" + "y" * 100_000)
    found = until(file, "MARK", 1 << 20)
    assert found.startswith("x" * before + "MARK")
    assert len(found) < before + 20_000
    assert len(until(file, "MARK", 5000)) == 5000
    assert len(until(file, "NONE", 1 << 20)) == before + 100_004
