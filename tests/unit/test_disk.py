"""Room on the disk. Volumes of a chosen fullness need root and are in tests/media_runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Reason
from ffmpeg_worker.disk import check_disk, free_mb
from ffmpeg_worker.outcome import AttemptError


def test_a_job_that_needs_more_than_there_is(tmp_path: Path) -> None:
    words = r"has \d+ MB free beside .* may need \d+ MB \(max_disk_mb\)"
    with pytest.raises(AttemptError, match=words):
        check_disk(tmp_path, free_mb(tmp_path) + 1024)


def test_the_reason_is_one_that_another_machine_may_mend(tmp_path: Path) -> None:
    with pytest.raises(AttemptError) as refusal:
        check_disk(tmp_path, 1 << 40)
    assert refusal.value.reason is Reason.DISK_FULL


def test_free_space_of_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    expected = shutil.disk_usage(tmp_path).free >> 20
    assert abs(free_mb(tmp_path / "a" / "b") - expected) < 1024
