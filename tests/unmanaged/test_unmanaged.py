"""A worker that nobody helps to hold its jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from ffmpeg_jobs.model import Claim, Job, Parameters, Reason, State
from ffmpeg_worker.config import read_config
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import make_plan
from ffmpeg_worker.start import verify
from tests.unmanaged.conftest import (
    BRIEF,
    CLIP,
    ENVIRONMENT,
    PATIENCE_SECONDS,
    START_SECONDS,
    WITHOUT_CAPABILITIES,
    WORKER,
    Farm,
    named,
    until,
)


def test_it_says_loudly_that_nothing_is_enforced(farm: Farm) -> None:
    health = until(lambda: _health() if "limits_not_enforced" in farm.log else None)
    assert (health["manager"], health["enforced"]) == ("none", [])
    assert health["max_concurrent_jobs"] == 1
    shown = until(lambda: [w for w in farm.client.workers() if w.online])
    assert (shown[0].machine.manager, shown[0].machine.enforced) == ("none", ())


def test_a_job_completes_unenforced_with_a_verified_output(farm: Farm) -> None:
    output = farm.directory / "output" / "done.mp4"
    job = farm.submit(input=str(CLIP), output=str(output), parameters={"duration": 1})
    ended = farm.ended(job)
    assert (ended.state, ended.error, ended.enforced) == (State.COMPLETED, None, False)
    assert ended.media is not None
    assert ended.media.size_bytes == output.stat().st_size
    assert ended.usage is not None
    assert ended.usage.cpu_seconds is not None
    # ffmpeg's own, not those of the sandbox around it.
    assert 0.05 < ended.usage.cpu_seconds < 60
    assert (ended.usage.memory_peak_bytes or 0) > 25 << 20


def test_the_job_is_nice_and_limited_from_its_first_instruction(farm: Farm) -> None:
    job = farm.submit(parameters={"duration": 3600})
    farm.holder(job)
    pids = until(lambda: named("ffmpeg", farm.directory))
    assert os.getpriority(os.PRIO_PROCESS, pids[0]) == 10
    limits = Path(f"/proc/{pids[0]}/limits").read_text().splitlines()
    data = next(line for line in limits if line.startswith("Max data size"))
    assert data.split()[3] == str(1024 << 20)
    farm.client.cancel(job)
    assert farm.ended(job).state is State.CANCELED
    until(lambda: not named("ffmpeg", farm.directory))


def test_a_job_over_its_time_is_ended_with_all_its_processes(farm: Farm) -> None:
    job = farm.submit(parameters={"duration": 3600}, resource_limits=BRIEF | {"timeout_sec": 2})
    ended = farm.ended(job)
    assert (ended.state.value, ended.reason and ended.reason.value) == ("failed", "timeout")
    assert ended.usage is not None
    # Its holder took some of that time to start; nobody else would end it.
    assert 1 <= (ended.usage.wall_seconds or 0) < 12
    assert ended.enforced is False
    assert not named("ffmpeg", farm.directory)


def test_a_restart_gives_a_job_no_more_time(farm: Farm) -> None:
    job = farm.submit(parameters={"duration": 3600}, resource_limits=BRIEF | {"timeout_sec": 3})
    farm.holder(job)
    farm.stop()
    time.sleep(3)
    farm.start()
    ended = farm.ended(job)
    assert (ended.state.value, ended.reason and ended.reason.value) == ("failed", "timeout")
    assert ended.usage is not None
    assert 3 <= (ended.usage.wall_seconds or 0) < 6 + START_SECONDS


def test_a_plan_that_cannot_be_read_keeps_no_worker_from_its_work(farm: Farm) -> None:
    farm.stop()
    plans = []
    for number, text in enumerate(("", "{}", '{"claim": 3}', "[]")):
        plans.append(farm.directory / "state" / "jobs" / f"{'a' * 12}.{number + 1}" / "plan.json")
        plans[-1].parent.mkdir()
        plans[-1].write_text(text)
    farm.start()
    job = farm.submit(parameters={"duration": 1})
    assert farm.ended(job).state is State.COMPLETED
    for plan in plans:
        assert f"event=plan_unreadable path={plan}" in farm.log
        assert not plan.exists()


def test_a_job_never_gets_more_memory_than_its_limit(farm: Farm) -> None:
    job = farm.submit(
        parameters={"duration": 5, "width": 3840, "height": 2160, "preset": "medium"},
        resource_limits={"max_memory_mb": 128},
    )
    ended = farm.ended(job)
    # ffmpeg feels a refused allocation, and each encoder has words of its own for it.
    assert ended.state is State.FAILED
    assert ended.reason in (Reason.OUT_OF_MEMORY, Reason.ENCODER_ERROR)
    assert ended.usage is not None
    assert (ended.usage.memory_peak_bytes or 0) < 256 << 20


def test_a_pause_is_refused_with_its_reason(farm: Farm) -> None:
    job = farm.submit(parameters={"duration": 3600})
    farm.holder(job)
    farm.client.pause(job)
    unmet = until(lambda: farm.client.job(job).unmet)
    assert "no scope of its own" in unmet
    farm.client.cancel(job)
    farm.ended(job)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_an_encode_outlives_its_worker(farm: Farm, by: int) -> None:
    job = farm.submit(parameters={"duration": 60, "width": 1280, "height": 720})
    farm.holder(job)
    pids = named("ffmpeg", farm.directory)
    farm.stop(by)
    farm.start()
    until(lambda: farm.log.rstrip().rfind("adopted") > 0)
    assert named("ffmpeg", farm.directory) == pids
    ended = farm.ended(job)
    assert (ended.state, ended.attempt, ended.enforced) == (State.COMPLETED, 1, False)


def test_a_job_that_requires_enforcement_waits_for_another_worker(farm: Farm) -> None:
    job = farm.submit(parameters={"duration": 1}, require_enforcement=True)
    other = farm.submit(parameters={"duration": 1})
    assert farm.ended(other).state is State.COMPLETED
    words = "a worker with a kernel that enforces its limits"
    until(lambda: farm.client.job(job).waiting_for == words)  # once its heartbeat told of room
    assert farm.client.job(job).attempt == 0
    farm.client.cancel(job)


def test_what_comes_all_the_same_is_refused(farm: Farm) -> None:
    """What the worker told its master is older than what it finds now."""
    config = read_config(farm.directory / "worker.toml", {}, {})
    job = Job(parameters=Parameters(duration=1), require_enforcement=True)
    plan = make_plan(Claim("abcdefghijkl", 1, "t" * 24, 60.0, job), config)
    with pytest.raises(AttemptError, match=r"not enforce cpu\.max, memory\.max, pids\.max"):
        verify(plan, None, confined=False)


def test_more_than_one_job_at_once_is_a_configuration_error(farm: Farm, tmp_path: Path) -> None:
    lines = (*farm.settings, "max_concurrent_jobs = 2")
    (tmp_path / "worker.toml").write_text("\n".join(lines))
    done = subprocess.run(
        [*WORKER, "--config", str(tmp_path / "worker.toml")],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 78
    assert 'max_concurrent_jobs: 2 is not possible with manager = "none"' in done.stderr


def test_without_a_user_manager_it_says_what_is_missing_and_waits(
    farm: Farm, tmp_path: Path
) -> None:
    text = "\n".join(farm.settings).replace('"none"', '"user"')
    (tmp_path / "worker.toml").write_text(text)
    with subprocess.Popen(
        [*WORKER, "--config", str(tmp_path / "worker.toml")],
        env=ENVIRONMENT | {"XDG_RUNTIME_DIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stderr is not None
        assert "loginctl enable-linger" in worker.stderr.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(3)
        worker.terminate()


@pytest.mark.parametrize("command", ["capacity", "clean", "drain"])
@pytest.mark.parametrize("manager", ["user", "auto"])
def test_commands_need_no_user_manager(
    farm: Farm, tmp_path: Path, manager: str, command: str
) -> None:
    """Nor may they look for one: the timer's unit cannot see /run/user."""
    (tmp_path / "state" / "control").mkdir(parents=True)
    (tmp_path / "worker.toml").write_text(
        f'manager = "{manager}"\nstate_directory = "{tmp_path}/state"\noutput_roots = []\n'
    )
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    done = subprocess.run(
        [*WITHOUT_CAPABILITIES, *WORKER, command, "--config", str(tmp_path / "worker.toml")],
        env=ENVIRONMENT | {"XDG_RUNTIME_DIR": str(closed)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr


def _health() -> dict[str, Any]:
    answer: dict[str, Any] = requests.get("http://127.0.0.1:19091/health", timeout=10).json()
    return answer
