"""What the kernel says in the files of a cgroup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ffmpeg_worker.capacity import Caps
from ffmpeg_worker.cgroup import caps


@pytest.mark.parametrize(
    ("cpu", "high", "most", "expected"),
    [
        ("max 100000\n", "max\n", "max\n", (None, None)),
        ("150000 100000\n", "max\n", "7516192768\n", (150, 7168)),
        ("25000 50000\n", "6442450944\n", "max\n", (50, 6144, "MemoryHigh")),
        ("max 100000\n", "6442450944\n", "7516192768\n", (None, 6144, "MemoryHigh")),
        ("max 100000\n", "7516192768\n", "6442450944\n", (None, 6144)),
    ],
)
def test_what_an_operator_holds_all_jobs_to(
    tmp_path: Path, cpu: str, high: str, most: str, expected: tuple[Any, ...]
) -> None:
    slice_ = tmp_path / "ffmpeg.slice"
    slice_.mkdir()
    (slice_ / "cpu.max").write_text(cpu)
    (slice_ / "memory.high").write_text(high)
    (slice_ / "memory.max").write_text(most)
    assert caps(slice_) == Caps("ffmpeg.slice", *expected)


def test_a_slice_without_controllers_or_that_is_not_there(tmp_path: Path) -> None:
    assert caps(tmp_path / "ffmpeg.slice") == Caps("ffmpeg.slice")
