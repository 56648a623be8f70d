"""The packages themselves: clean, the same each time, the same for both Debians."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from lab.cache import file_digest
from lab.layers import field

from lab import debs as builder

PACKAGES = {"ffmpeg-jobs", "ffmpeg-master", "ffmpeg-worker", "python3-ffmpeg-jobs"}


@pytest.fixture(scope="module")
def named(debs: list[Path]) -> dict[str, Path]:
    return {field(deb, "Package"): deb for deb in debs}


def contents(deb: Path) -> list[str]:
    command = ["dpkg-deb", "--contents", str(deb)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.split(maxsplit=5)[5] for line in lines]


def test_lintian_finds_nothing(debs: list[Path]) -> None:
    command = ["lintian", "--allow-root", "--pedantic", "--fail-on", "pedantic,warning,error"]
    done = subprocess.run([*command, *map(str, debs)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_this_tree_builds_the_same_packages_again(debs: list[Path], tmp_path: Path) -> None:
    again = builder.build(tmp_path)
    made = {deb.name: file_digest(deb) for deb in again}
    assert made == {deb.name: file_digest(deb) for deb in debs}, "not the same; or run: make debs"


def test_one_set_of_packages_suits_both_debians(named: dict[str, Path]) -> None:
    assert set(named) == PACKAGES
    for deb in named.values():
        assert field(deb, "Architecture") == "all"
        depends = field(deb, "Depends")
        assert "python3:any (>= 3.11~)" in depends
        assert "<<" not in depends
        modules = [name for name in contents(deb) if name.endswith(".py")]
        assert all(name.startswith("./usr/lib/python3/dist-packages/ffmpeg_") for name in modules)


def test_a_worker_s_machine_gets_nothing_for_terminals(named: dict[str, Path]) -> None:
    needs = field(named["ffmpeg-worker"], "Depends") + field(
        named["python3-ffmpeg-jobs"], "Depends"
    )
    assert "python3-ffmpeg-jobs" in needs
    assert "python3-rich" not in needs
    assert "python3-click" not in needs


def test_each_command_has_its_page(named: dict[str, Path]) -> None:
    for package, section in (("ffmpeg-jobs", 1), ("ffmpeg-master", 8), ("ffmpeg-worker", 8)):
        assert f"./usr/share/man/man{section}/{package}.{section}.gz" in contents(named[package])
