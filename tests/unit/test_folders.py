"""The folders that jobs need. Volumes that go away need root and are in tests/media_runs."""

from __future__ import annotations

import getpass
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ffmpeg_worker import folders
from ffmpeg_worker.config import Config
from ffmpeg_worker.folders import look, prepare
from tests.unit.test_plan import CONFIG

#: A folder without permissions is open to root.
needs_account = pytest.mark.skipif(os.geteuid() == 0, reason="root may go anywhere")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = replace(
        CONFIG,
        state_directory=tmp_path / "state",
        input_roots=(tmp_path / "in",),
        output_roots=(tmp_path / "out", tmp_path / "more"),
    )
    for folder in (*made.input_roots, *made.output_roots):
        folder.mkdir()
    assert prepare(made) is None
    return made


def test_all_is_well(config: Config) -> None:
    assert config.jobs_directory.stat().st_mode & 0o777 == 0o700
    assert look(config, {}).faults == ()


def test_what_is_missing_is_named_and_only_that(config: Config) -> None:
    (config.output_roots[1]).rmdir()
    config.input_roots[0].rmdir()
    config.input_roots[0].touch()
    assert look(config, {}).faults == (
        f"input_roots: {config.input_roots[0]}: Not a directory",
        f"output_roots: {config.output_roots[1]}: No such file or directory",
    )


@needs_account
def test_what_may_not_be_used_is_named(config: Config) -> None:
    config.input_roots[0].chmod(0)
    config.output_roots[0].chmod(0o555)
    try:
        who = getpass.getuser()
        assert look(config, {}).faults == (
            f"input_roots: {config.input_roots[0]}: Permission denied: the account {who} may not "
            "read there",
            f"output_roots: {config.output_roots[0]}: Permission denied: the account {who} may "
            "not write there",
        )
    finally:
        config.input_roots[0].chmod(0o700)
        config.output_roots[0].chmod(0o700)


def test_a_volume_that_went_away_is_missed(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is there, writable, and empty: what is written fills another disk."""
    mounted = {config.output_roots[0]}
    monkeypatch.setattr(Path, "is_mount", lambda path: path in mounted or path == Path("/"))
    before = look(config, {})
    assert before.faults == ()
    mounted.clear()
    gone = look(config, before.mounts)
    assert gone.faults == (
        f"output_roots: {config.output_roots[0]}: nothing is mounted at "
        f"{config.output_roots[0]} any more",
    )
    assert look(config, gone.mounts).faults == gone.faults
    mounted.add(config.output_roots[0])
    assert look(config, gone.mounts).faults == ()


def test_a_volume_that_comes_later_is_the_one_that_is_meant(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted: set[Path] = set()
    monkeypatch.setattr(Path, "is_mount", lambda path: path in mounted or path == Path("/"))
    before = look(config, {})
    mounted.add(config.output_roots[0])
    after = look(config, before.mounts)
    mounted.clear()
    assert (after.faults, len(look(config, after.mounts).faults)) == ((), 1)


@pytest.mark.parametrize("name", ["state", "state/jobs"])
def test_a_state_directory_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    fault = folders.prepare(replace(CONFIG, state_directory=tmp_path / "state"))
    assert fault is not None
    assert fault.startswith(f"state_directory: {tmp_path}/state")
    assert fault.lower().endswith(("not a directory", "it is no directory"))
