"""What the kernel says in the files of a cgroup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ffmpeg_worker.authority import lives_in
from ffmpeg_worker.capacity import Caps
from ffmpeg_worker.cgroup import caps, cgroup_in, is_empty


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


UNIT = "/ffmpeg.slice/ffmpeg-job-aaaaaaaaaaaa.scope"
V2 = f"0::{UNIT}\n"
V1 = f"5:cpu,cpuacct:{UNIT}\n4:memory:/\n1:name=systemd:{UNIT}\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (V2, f"/sys/fs/cgroup{UNIT}"),
        (V1 + V2, f"/sys/fs/cgroup{UNIT}"),
        (V1, f"/sys/fs/cgroup/systemd{UNIT}"),
        ("4:memory:/\n", None),
        ("", None),
    ],
)
def test_where_a_process_is(text: str, place: str | None) -> None:
    assert cgroup_in(text) == (None if place is None else Path(place))


@pytest.mark.parametrize(
    ("text", "home"),
    [
        (V2, True),
        (V1, True),
        (V1 + V2, True),
        (V1 + "0::/elsewhere\n", False),
        (f"0::/elsewhere{UNIT}\n", False),
        (f"5:cpu:{UNIT}\n", False),
        (f"1:name=systemd:/elsewhere:name=systemd:{UNIT}\n", False),
        ("", False),
    ],
)
def test_whose_cgroup_it_is(text: str, home: bool) -> None:
    assert lives_in(text, UNIT) is home


def test_what_runs_in_a_cgroup(tmp_path: Path) -> None:
    scope = tmp_path / "x.scope"
    assert is_empty(scope)
    scope.mkdir()
    assert not is_empty(scope)  # version 1 does not tell
    for populated in (1, 0):
        (scope / "cgroup.events").write_text(f"populated {populated}\nfrozen 0\n")
        assert is_empty(scope) is not bool(populated)
