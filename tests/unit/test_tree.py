"""What jobs leave is measured and removed, whatever they made of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffmpeg_worker.tree import remove_tree, used_bytes

#: Over Python's limit of 1,000 calls, and over an ordinary process's 1,024 descriptors.
DEPTH = 1500
#: With as many of them, a path is over the 4,096 bytes of PATH_MAX (limits.h).
NAME = "n" * 200
SIZE = 100_000


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A directory with nested ones, and a file at the bottom."""
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir(NAME, dir_fd=here)
        below = os.open(NAME, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("beside", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    file = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here)
    os.write(file, b"x" * SIZE)
    os.close(file)
    os.close(here)
    yield top
    subprocess.run(["rm", "-rf", str(top)], check=True)  # what pytest would use cannot


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_file_far_down_is_counted(deep: Path) -> None:
    before = open_files()
    assert SIZE <= used_bytes(deep) < SIZE + (DEPTH + 9) * 8192
    assert open_files() == before


def test_all_of_it_is_removed(deep: Path) -> None:
    remove_tree(deep)
    assert not deep.exists()


def test_every_file_is_counted_once_and_links_are_not_followed(tmp_path: Path) -> None:
    top, elsewhere = tmp_path / "top", tmp_path / "elsewhere"
    for folder in (top / "a/b", top / "a/c", top / "d", elsewhere):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * SIZE)
    (top / "link").symlink_to(elsewhere)
    (top / "a/up").symlink_to("..")
    expected = sum(max(4096, path.lstat().st_blocks * 512) for path in top.rglob("*"))
    assert used_bytes(top) == top.lstat().st_blocks * 512 + expected
    assert used_bytes(top / "d/file") == (top / "d/file").lstat().st_blocks * 512
    assert used_bytes(top / "no") == 0
    remove_tree(top)
    assert not top.exists()
    assert (elsewhere / "file").exists()


def test_empty_files_take_room_too(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / str(number)).touch()
    assert used_bytes(tmp_path) >= 100 * 4096


@pytest.mark.parametrize("mode", [0, 0o300, 0o500])
def test_what_a_job_closed_is_removed(tmp_path: Path, mode: int) -> None:
    (tmp_path / "top/closed").mkdir(parents=True)
    (tmp_path / "top/closed/file").touch()
    (tmp_path / "top/closed").chmod(mode)
    remove_tree(tmp_path / "top")
    assert not (tmp_path / "top").exists()


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        remove_tree(tmp_path / "no")
