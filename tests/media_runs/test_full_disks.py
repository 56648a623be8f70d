"""Volumes of a chosen fullness: small tmpfs mounts, which need root."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.model import Reason
from ffmpeg_worker import jobdir
from ffmpeg_worker.disk import check_disk, free_mb
from ffmpeg_worker.outcome import AttemptError, conclude
from ffmpeg_worker.publish import publish_file
from tests.media_runs.conftest import encode, fill
from tests.unit.test_holder import Started
from tests.unit.test_plan import CONFIG, planned

#: A job that sees its state directory's volume filled to the last byte, and ends well.
FILLS = """
import os, sys
print("early", flush=True)
with open(sys.argv[1], "wb", buffering=0) as ballast:
    try:
        while True:
            ballast.write(bytes(1 << 12))
    except OSError:
        pass
sys.stdout.write("late\\n" * 20_000)
"""


def test_under_five_percent_free_nothing_starts(volume: Path) -> None:
    fill(volume, 96)
    with pytest.raises(AttemptError, match=r"has 4\.0 % free; 5 % are needed") as refusal:
        check_disk(volume, 1)
    assert refusal.value.reason is Reason.DISK_FULL


def test_enough_room_is_no_news(volume: Path) -> None:
    fill(volume, 89)
    check_disk(volume, 5)
    assert free_mb(volume) == 11


def test_an_encode_that_fills_its_volume(volume: Path) -> None:
    fill(volume, 99)
    ended = encode(volume, duration=5, preset="ultrafast", crf=5)
    outcome = conclude(ended.facts())
    assert (outcome.reason, outcome.error) == (Reason.DISK_FULL, "the disk is full")


@pytest.mark.parametrize("name", ["mp4", "matroska", "mpegts", "flv"])
def test_the_last_bytes_of_an_output_find_no_room(
    tmp_path: Path, small: Callable[[int], Path], name: str
) -> None:
    """ffmpeg 5.1 ends with 0 all the same."""
    how: dict[str, Any] = {"duration": 2, "preset": "ultrafast", "width": 320, "format": name}
    whole = tmp_path / "whole"
    whole.mkdir()
    pages = -(-encode(whole, **how).output.stat().st_size // 4096)
    # Beside the output there is the progress file, of a page.
    ended = encode(small(pages), **how)
    outcome = conclude(ended.facts())
    assert (outcome.reason, outcome.final) == (Reason.DISK_FULL, None), ended.log[-2000:]


@pytest.mark.parametrize("status", [0, 7])
def test_a_full_state_volume_takes_no_job_s_last_words(volume: Path, status: int) -> None:
    job = [sys.executable, "-c", f"{FILLS}\nsys.exit({status})", str(volume / "ballast")]
    directory = volume / "job"
    directory.mkdir()
    one = Started(directory, job, [sys.executable, "-c", "print('{' + 'x' * 9000)"])
    one.release()
    facts = one.facts()
    assert facts["exit_status"] == status
    assert facts["wall_seconds"] > 0
    assert (directory / "log").read_text().startswith("early\n")
    if status == 0:
        assert (directory / "probe.json").read_text() == "{" + "x" * 9000 + "\n"


def test_a_full_state_volume_keeps_no_output_from_its_place(volume: Path, tmp_path: Path) -> None:
    plan = planned(replace(CONFIG, state_directory=volume))
    jobdir.record(plan)
    plan = replace(
        plan,
        staged=str(tmp_path / "staged"),
        publish_to=str(tmp_path / "final"),
        output_roots=(str(tmp_path),),
    )
    (tmp_path / "staged").write_text("media")
    with pytest.raises(OSError) as full, (volume / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(1 << 12))
    assert full.value.errno == errno.ENOSPC
    assert publish_file(plan, lambda: True)
    assert (tmp_path / "final").read_text() == "media"
    assert jobdir.was_delivered(plan)


def test_a_plan_that_has_no_room_leaves_no_directory(volume: Path) -> None:
    plan = planned(replace(CONFIG, state_directory=volume))
    with pytest.raises(OSError), (volume / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(1 << 12))
    with pytest.raises(OSError) as full:
        jobdir.record(plan)
    assert full.value.errno == errno.ENOSPC
    assert list(Path(plan.directory).parent.iterdir()) == []
    (volume / "ballast").unlink()
    jobdir.record(plan)
    with pytest.raises(FileExistsError):  # what is there is another's, and stays
        jobdir.record(plan)
    assert jobdir.reopen(Path(plan.directory)) == plan
