"""Volumes of a chosen fullness: small tmpfs mounts, which need root."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ffmpeg_jobs.model import Reason
from ffmpeg_worker.disk import check_disk, free_mb
from ffmpeg_worker.outcome import AttemptError, conclude
from tests.media_runs.conftest import encode, fill


def test_under_five_percent_free_nothing_starts(volume: Path) -> None:
    fill(volume, 96)
    with pytest.raises(AttemptError, match=r"has 4\.0 % free; 5 % are needed") as refusal:
        check_disk(volume, 1)
    assert refusal.value.reason is Reason.DISK_FULL


def test_over_ninety_percent_used_is_a_warning(volume: Path) -> None:
    fill(volume, 91)
    with capture_logs() as logs:
        check_disk(volume, 4)
    assert [(row["event"], row["used_percent"]) for row in logs] == [("disk_nearly_full", 91.0)]


def test_enough_room_is_no_news(volume: Path) -> None:
    fill(volume, 89)
    with capture_logs() as logs:
        check_disk(volume, 5)
    assert logs == []
    assert free_mb(volume) == 11


def test_an_encode_that_fills_its_volume(volume: Path) -> None:
    fill(volume, 99)
    ended = encode(volume, duration=5, preset="ultrafast", crf=5)
    outcome = conclude(ended.facts())
    assert (outcome.reason, outcome.error) == (Reason.DISK_FULL, "the disk is full")
