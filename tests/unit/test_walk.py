"""Paths below the operator's roots, and whoever changes them while they are walked."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ffmpeg_worker.walk import Outside, by_descriptor, enter, reach


@pytest.fixture
def roots(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "one/a").mkdir(parents=True)
    (tmp_path / "two").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("the worker's own")
    (tmp_path / "one/a/key").write_text("film")
    return str(tmp_path / "one"), str(tmp_path / "two")


@contextmanager
def reached(path: Path, roots: tuple[str, ...]) -> Iterator[str]:
    descriptor = reach(str(path), roots)
    try:
        yield Path(by_descriptor(descriptor)).read_text()
    finally:
        os.close(descriptor)


def make(folder: int, name: str, _path: str) -> None:
    os.mkdir(name, dir_fd=folder)


def test_links_may_lead_from_root_to_root(tmp_path: Path, roots: tuple[str, ...]) -> None:
    (tmp_path / "two/film").symlink_to(tmp_path / "one/a/key")
    (tmp_path / "two/up").symlink_to("../one/a")
    for path in ("one/a/key", "two/film", "two/up/key"):
        with reached(tmp_path / path, roots) as text:
            assert text == "film"


@pytest.mark.parametrize("link", ["key", "."])
def test_links_do_not_lead_out(tmp_path: Path, roots: tuple[str, ...], link: str) -> None:
    (tmp_path / "one/out").symlink_to(tmp_path / "secret" / link)
    with pytest.raises(Outside, match="/secret"):
        reach(str(tmp_path / "one/out"), roots)
    with pytest.raises(Outside, match="/secret"):
        enter(str(tmp_path / "one/out/new"), roots, make)
    assert [path.name for path in (tmp_path / "secret").iterdir()] == ["key"]


def swap_folder(top: Path) -> None:
    (top / "one/a").rename(top / "one/before")
    (top / "one/a").symlink_to(top / "secret")


def swap_file(top: Path) -> None:
    (top / "one/a/key").unlink()
    (top / "one/a/key").symlink_to(top / "secret/key")


@pytest.mark.parametrize("swap", [swap_folder, swap_file])
def test_whoever_swaps_it_for_a_link_after_the_check_is_refused(
    tmp_path: Path,
    roots: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    swap: Callable[[Path], None],
) -> None:
    read_links = os.path.realpath

    def read_and_swap(path: str, *, strict: bool = False) -> str:
        real = read_links(path, strict=strict)
        if path.endswith("key"):
            swap(tmp_path)
        return real

    monkeypatch.setattr(os.path, "realpath", read_and_swap)
    with pytest.raises(OSError) as refusal:
        reach(str(tmp_path / "one/a/key"), roots)
    assert refusal.value.errno in (errno.ELOOP, errno.ENOTDIR)


def test_no_folder_is_made_through_a_link_that_came_after_the_check(
    tmp_path: Path, roots: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_links = os.path.realpath

    def read_and_swap(path: str, *, strict: bool = False) -> str:
        real = read_links(path, strict=strict)
        if path.endswith("new"):
            swap_folder(tmp_path)
        return real

    monkeypatch.setattr(os.path, "realpath", read_and_swap)
    with pytest.raises(OSError):
        enter(str(tmp_path / "one/a/b/new"), roots, make)
    assert [path.name for path in (tmp_path / "secret").iterdir()] == ["key"]


def test_what_is_missing_is_made_below_the_root(tmp_path: Path, roots: tuple[str, ...]) -> None:
    os.close(enter(str(tmp_path / "one/a/b/c"), roots, make))
    assert (tmp_path / "one/a/b/c").is_dir()


@pytest.mark.parametrize("path", ["loop", "a/" * 1990 + "film", "x" * 256, "a/key/film"])
def test_paths_that_lead_nowhere_are_errors_of_the_system(
    tmp_path: Path, roots: tuple[str, ...], path: str
) -> None:
    (tmp_path / "one/loop").symlink_to("loop")
    with pytest.raises(OSError):
        reach(str(tmp_path / "one" / path), roots)
    if path[:2] != "a/" or "key" in path:
        with pytest.raises(OSError):
            enter(str(tmp_path / "one" / path), roots, make)
