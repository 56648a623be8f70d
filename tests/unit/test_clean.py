"""What dead jobs left is removed, and nothing else."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

from ffmpeg_worker.clean import clean, keep_clean
from ffmpeg_worker.config import Config, read_config

ROOT = Path(__file__).parents[2]
DEAD = "a" * 12 + ".1"
HELD = "b" * 12 + ".2"
HOUR = 3600
DAY = 24 * HOUR
CONTROL = ("drain", "state.json", "worker.lock", ".drain.abc", ".notes.a1b2c3d4", ".drain.A1B2C3D4")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    for name in ("state/jobs", "state/control", "output/below"):
        (tmp_path / name).mkdir(parents=True)
    toml = tmp_path / "worker.toml"
    toml.write_text(
        f'state_directory = "{tmp_path}/state"\noutput_roots = ["{tmp_path}/output"]\n'
        f"[limits]\ntimeout_sec = {HOUR}\n"
    )
    attempt(tmp_path / "state/jobs" / HELD, "plan.json")
    return read_config(toml, {}, {}, key_needed=False)


def old(path: Path, seconds: float = 31 * DAY) -> Path:
    since = path.lstat().st_mtime - seconds
    os.utime(path, (since, since), follow_symlinks=False)
    return path


def attempt(directory: Path, *files: str) -> Path:
    directory.mkdir()
    for name in files:
        (directory / name).write_text("{}")
    return old(directory)


def file(path: Path) -> Path:
    path.write_bytes(b"x")
    return old(path)


def staged(directory: Path, name: str, of: str = DEAD) -> Path:
    return file(directory / f".{name}.ffmpeg-job-{of}.part")


def test_what_is_dead_goes(config: Config) -> None:
    output, control = config.output_roots[0], config.control_directory
    dead = {
        file(control / ".state.json.a1b2_3cd"),
        file(control / ".drain.00000000"),
        attempt(config.jobs_directory / DEAD, "log", ".plan.json.new"),
        staged(output, "film.mp4"),
        staged(output / "below", "a b\n.mkv"),
    }
    assert set(clean(config)) == dead
    assert [path for path in dead if path.exists()] == []
    assert clean(config) == []


def test_a_folder_for_outputs_goes_with_what_is_dead_in_it(config: Config) -> None:
    folder = config.output_roots[0] / ".ffmpeg-worker-1000"
    busy = config.output_roots[0] / ".ffmpeg-worker-1001"
    folder.mkdir()
    busy.mkdir()
    dead = {
        file(folder / f".ffmpeg-job-{DEAD}.part"),
        file(folder / f".ffmpeg-job-{DEAD.partition('.')[0]}.published"),
        old(folder),
    }
    held = file(busy / f".ffmpeg-job-{HELD}.part")
    old(busy)
    assert set(clean(config)) == dead
    assert [path for path in dead if path.exists()] == []
    assert held.exists()


def test_all_else_stays(config: Config) -> None:
    output, jobs = config.output_roots[0], config.jobs_directory
    elsewhere = config.state_directory / "elsewhere"
    elsewhere.mkdir()
    link_to_folder, link = output / "link", output / f".link.mp4.ffmpeg-job-{DEAD}.part"
    link_to_folder.symlink_to(elsewhere)
    link.symlink_to(file(elsewhere / "target"))
    linked_attempt = jobs / ("c" * 12 + ".1")
    linked_attempt.symlink_to(elsewhere)
    unwritten = config.control_directory / ".drain.a1b2c3d4"
    unwritten.touch()
    # Another machine's, which may have other limits: it waits for its master there.
    young = output / f".young.mp4.ffmpeg-job-{DEAD}.part"
    young.touch()
    old(young, 29 * DAY)
    fresh = jobs / ("d" * 12 + ".1")
    fresh.mkdir()
    a_folder = output / f".folder.ffmpeg-job-{DEAD}.part"
    a_folder.mkdir()
    kept = [
        jobs / HELD,
        unwritten,
        *(file(config.control_directory / name) for name in CONTROL),
        staged(output, "held.mp4", HELD),
        staged(elsewhere, "behind-a-link.mp4"),
        old(link),
        old(linked_attempt),
        young,
        fresh,
        old(a_folder),
        file(output / f"film.mp4.ffmpeg-job-{DEAD}.part"),
        file(output / f".film.mp4.ffmpeg-job-{DEAD}.part.bak"),
        file(output / ".film.mp4.ffmpeg-job-../../x.1.part".replace("/", "_")),
        file(output / f".film.mp4.ffmpeg-job-{'A' * 12}.1.part"),
        file(output / ".part"),
        attempt(jobs / "notes.d", "log"),
        file(jobs / f"{'e' * 12}.1"),
        file(jobs / "README.txt"),
    ]
    old(elsewhere)
    assert clean(config) == []
    assert [path for path in kept if not path.exists() and not path.is_symlink()] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_somebody_else_stays(config: Config) -> None:
    theirs = staged(config.output_roots[0], "film.mp4")
    os.chown(theirs, 12345, 12345)
    attempt_of_theirs = attempt(config.jobs_directory / DEAD)
    os.chown(attempt_of_theirs, 12345, 12345)
    assert clean(config) == []
    assert theirs.exists()
    assert attempt_of_theirs.exists()


def test_a_disk_that_cannot_be_read_is_no_reason_to_stop_working(config: Config) -> None:
    shutil.rmtree(config.jobs_directory)
    config.jobs_directory.touch()
    with pytest.raises(NotADirectoryError):
        clean(config)

    async def at_work() -> None:
        await asyncio.wait_for(keep_clean(config, time.time()), 0.2)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(at_work())


def test_what_was_there_before_the_worker_is_nobody_s(config: Config) -> None:
    before = attempt(config.jobs_directory / DEAD, "log")
    old(before, -31 * DAY + 60)
    fresh = config.jobs_directory / ("d" * 12 + ".1")
    fresh.mkdir()
    assert clean(config, time.time() - 5) == [before]
    assert fresh.exists()


def test_the_timer_cleans_whatever_the_state_directory_is() -> None:
    unit = (ROOT / "units/ffmpeg-worker-clean.service").read_text()
    assert "Condition" not in unit


def test_a_machine_without_jobs_has_nothing_to_clean(config: Config) -> None:
    (config.jobs_directory / HELD / "plan.json").unlink()
    (config.jobs_directory / HELD).rmdir()
    config.jobs_directory.rmdir()
    staged(config.output_roots[0], "film.mp4")
    assert clean(config) == []
