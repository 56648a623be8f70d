"""What running jobs may write is reserved and watched: real ffmpeg, small volumes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Claim, Free, Outcome, Reason, State
from ffmpeg_jobs.schema import parse_job
from ffmpeg_worker import folders, jobdir
from ffmpeg_worker.config import Config
from ffmpeg_worker.facts import Facts
from ffmpeg_worker.machine import resources
from ffmpeg_worker.outcome import AttemptError, conclude
from ffmpeg_worker.plan import Plan, make_plan, opening
from ffmpeg_worker.prepare import prepare
from ffmpeg_worker.reservation import Overuse, held_mb, overuse
from ffmpeg_worker.upkeep import in_words, look, unseen
from tests.media_runs.conftest import PATIENCE_SECONDS, as_held, fill

#: Some ten MB each second on any machine.
HEAVY = {"preset": "ultrafast", "crf": 0, "width": 1280, "height": 720, "duration": 3600}


@pytest.fixture
def small(config: Config, volume: Path) -> Config:
    """A worker whose state and outputs are on a volume of 100 MiB, of which 5 stay free."""
    output = volume / "output"
    output.mkdir()
    return replace(config, state_directory=volume / "state", output_roots=(output,))


def plan_of(config: Config, job_id: str, max_disk_mb: int, *, output: bool = True) -> Plan:
    job = {"resource_limits": {"max_disk_mb": max_disk_mb}, "parameters": HEAVY}
    if output:
        job["output"] = str(config.output_roots[0] / f"{job_id}.mkv")
    plan = make_plan(Claim(job_id * 12, 1, "t" * 32, 60.0, parse_job(job)), config)
    jobdir.record(plan)
    return plan


def begin(plan: Plan, *others: Plan) -> None:
    prepare(plan, threading.Event(), others).close()


@contextmanager
def running(plan: Plan) -> Iterator[None]:
    """Its real ffmpeg, for as long as we want it."""
    with prepare(plan, threading.Event()) as opened:
        held: subprocess.Popen[bytes] = subprocess.Popen(
            **as_held(plan, opened),
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    assert held.stdin is not None
    with held:
        held.stdin.write(opening(plan))
        held.stdin.close()
        try:
            yield
        finally:
            os.killpg(held.pid, signal.SIGKILL)


def until_over(*plans: Plan) -> list[Overuse]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := overuse(plans)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


@pytest.mark.parametrize("output", [True, False], ids=["beside its output", "in its directory"])
def test_a_job_over_its_disk_is_stopped_before_the_volume_is_full(
    small: Config, volume: Path, output: bool
) -> None:
    plan = plan_of(small, "a", 30, output=output)
    begin(plan)
    assert overuse([plan]) == []
    with running(plan):
        assert until_over(plan) == [Overuse(plan, "disk")]
    assert shutil.disk_usage(volume).free > 10 << 20
    used = held_mb(plan)
    assert used > 30
    facts = Facts(None, "success", stop_asked_by="disk", disk_used_mb=used, disk_limit_mb=30)
    outcome = conclude(facts)
    assert (outcome.reason, outcome.final) == (Reason.DISK_FULL, True)
    assert f"used {used} MB of disk, and its max_disk_mb is 30 MB" in (outcome.error or "")


def test_when_somebody_else_fills_the_volume_the_largest_job_stops(
    small: Config, volume: Path
) -> None:
    calm, greedy = plan_of(small, "b", 20), plan_of(small, "c", 60)
    begin(calm)
    begin(greedy, calm)
    with running(greedy):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while Path(str(greedy.staged)).stat().st_size < 5 << 20:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        fill(volume, (shutil.disk_usage(volume).free >> 20) - 2)
        assert overuse([calm, greedy]) == [Overuse(greedy, "volume")]
    assert conclude(Facts(None, "", stop_asked_by="volume")).reason is Reason.DISK_FULL


def test_a_volume_that_others_filled_stops_only_who_holds_something_there(
    small: Config, volume: Path, tmp_path: Path
) -> None:
    """The oldest and largest job has its state there, and writes elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    config = replace(small, output_roots=(elsewhere,))
    far = plan_of(config, "k", 200)
    begin(far)
    Path(str(far.staged)).write_bytes(b"x" * (20 << 20))
    here = plan_of(small, "l", 20)
    begin(here, far)
    fill(volume, 97)
    assert overuse([far, here]) == []
    Path(str(here.staged)).write_bytes(b"x" * (2 << 20))
    assert overuse([far, here]) == [Overuse(here, "volume")]


def test_what_has_ended_stops_for_no_disk(small: Config, volume: Path) -> None:
    """Its output waits for the master, and somebody else fills the volume."""
    plan, other = plan_of(small, "n", 10), plan_of(small, "o", 30)
    begin(plan)
    Path(str(plan.staged)).write_bytes(b"x" * (20 << 20))
    fill(volume, 77)
    assert overuse([plan]) == [Overuse(plan, "disk")]
    (Path(plan.directory) / "facts.json").write_text("{}")
    assert overuse([plan]) == []
    (volume / "ballast").unlink()
    begin(other, plan)  # nothing is reserved for it any more


def test_what_others_may_still_write_is_reserved(small: Config) -> None:
    first, second, third = plan_of(small, "d", 60), plan_of(small, "e", 40), plan_of(small, "f", 30)
    begin(first)
    with pytest.raises(AttemptError, match="60 MB of it are reserved for jobs that run") as refusal:
        begin(second, first)
    assert refusal.value.reason is Reason.DISK_FULL
    begin(third, first)
    # What it has written is no longer free, and no longer reserved.
    Path(str(first.staged)).write_bytes(b"x" * (20 << 20))
    with pytest.raises(AttemptError, match="40 MB of it are reserved"):
        begin(second, first)
    # An attempt whose outcome is known writes no more; it may wait for its master.
    jobdir.keep_outcome(first, Outcome(State.COMPLETED))
    begin(second, first)


def test_a_job_takes_nothing_of_a_volume_that_it_does_not_write_to(
    small: Config, volume: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    config = replace(small, output_roots=(elsewhere,))
    far = plan_of(config, "g", 1000)
    begin(far)
    here = plan_of(small, "h", 80)
    begin(here, far)
    seen = look(small, [far, here], 2, unseen(""))
    assert seen.free.disk_mb in (14, 15, 16)
    assert seen.free.slots == 0


def test_what_a_job_holds_beside_its_output_stays_in_the_capacity(small: Config) -> None:
    before = resources(small.state_directory, "system").disk_mb
    plan = plan_of(small, "m", 50)
    begin(plan)
    Path(str(plan.staged)).write_bytes(b"x" * (20 << 20))
    assert resources(small.state_directory, "system").disk_mb in (before - 1, before)


def test_what_is_free_follows_limits(small: Config) -> None:
    config = replace(small, max_concurrent_jobs=2, cpus=4)
    plan = plan_of(config, "j", 50)
    seen = look(config, [plan], 1, unseen(""))
    memory_mb = seen.share.memory_mb - 2048
    assert replace(seen.free, disk_mb=0) == Free(200, memory_mb, 0, 1)
    assert seen.free.disk_mb in (44, 45, 46)
    jobdir.keep_held(plan, replace(plan.held, cpu_percent=300, memory_mb=1000))
    seen = look(config, [plan], 1, unseen(""))
    assert (seen.free.cpu_percent, seen.free.memory_mb) == (100, seen.share.memory_mb - 1000)


def test_a_full_volume_holds_the_machine_back(small: Config, volume: Path) -> None:
    assert folders.prepare(small) is None
    assert look(small, [], 0, unseen("")).held_back is None
    assert look(small, [], 0, unseen("")).warning is None
    fill(volume, 92)
    warned = look(small, [], 0, unseen(""))
    assert (warned.warning, warned.held_back) == ("disk 92.0 % used", None)
    assert in_words(warned)["disk_used_percent"] == 92.0
    fill(volume, 97)
    why = f"the volume of {small.state_directory} has 3.0 % free; 5 % are needed"
    assert look(small, [], 0, unseen("")).held_back == why


def test_a_volume_that_is_unmounted_holds_the_machine_back(small: Config, volume: Path) -> None:
    """Its folder is still there, and may be written: on another volume."""
    assert folders.prepare(small) is None
    output = small.output_roots[0]
    before = look(small, [], 0, unseen(""))
    assert before.held_back is None
    subprocess.run(["umount", "--lazy", volume], check=True)
    output.mkdir()
    assert folders.prepare(small) is None
    gone = look(small, [], 0, before)
    why = f"output_roots: {output}: nothing is mounted at {volume} any more"
    assert why in str(gone.held_back)
    assert look(small, [], 0, gone).folders.faults == gone.folders.faults
    subprocess.run(["mount", "-t", "tmpfs", "none", volume], check=True)
    output.mkdir()
    assert folders.prepare(small) is None
    assert look(small, [], 0, gone).held_back is None
