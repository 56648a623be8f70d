"""A worker with manager = "none": a real master, a real worker, real ffmpeg, and no systemd."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import Claim, Job, JobStatus, Parameters, Reason, Role, State
from ffmpeg_worker.config import read_config
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import make_plan
from ffmpeg_worker.start import verify
from tests.api.conftest import ROOT, make_home, start

CLIP = ROOT / "tests/media/bigbuckbunny.mp4"
PATIENCE_SECONDS = 120.0
FINAL = (State.COMPLETED, State.FAILED, State.CANCELED)


def until(done: Callable[[], Any]) -> Any:
    """The first true result."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (result := done()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return result


class Farm:
    """A master, and at most one worker beside it."""

    def __init__(self, directory: Path, url: str, client: MasterClient) -> None:
        self.directory = directory
        self.url = url
        self.client = client
        self.worker: subprocess.Popen[bytes] | None = None

    def configure(self, *lines: str) -> None:
        (self.directory / "worker.toml").write_text("\n".join((*self.settings, *lines)))

    @property
    def settings(self) -> tuple[str, ...]:
        here = self.directory
        return (
            f'master = "{self.url}"',
            f'api_key_file = "{here}/key"',
            'name = "w"',
            f'state_directory = "{here}/state"',
            f'input_roots = ["{CLIP.parent}"]',
            f'output_roots = ["{here}/output"]',
            'manager = "none"',
        )

    def start(self) -> None:
        with (self.directory / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(
                [*WORKER, "--config", str(self.directory / "worker.toml")],
                env=ENVIRONMENT,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, by: int = signal.SIGTERM) -> None:
        if self.worker is not None:
            self.worker.send_signal(by)
            self.worker.wait(PATIENCE_SECONDS)
            self.worker = None

    @property
    def log(self) -> str:
        return (self.directory / "worker.log").read_text()

    def submit(self, **job: Any) -> str:
        limits = {"max_memory_mb": 1024, "max_disk_mb": 50} | job.pop("resource_limits", {})
        small = {"width": 320, "height": 180, "preset": "ultrafast"}
        parameters = small | job.pop("parameters", {})
        return self.client.submit({"parameters": parameters, "resource_limits": limits} | job).id

    def ended(self, job_id: str) -> JobStatus:
        def over() -> JobStatus | None:
            status = self.client.job(job_id)
            return status if status.state in FINAL else None

        found: JobStatus = until(over)
        return found

    def holder(self, job_id: str) -> Path:
        """Wait until ffmpeg runs; the attempt's directory."""
        directory = self.directory / "state" / "jobs" / f"{job_id}.1"
        until((directory / "work" / "progress").exists)
        return directory


#: Of jobs that end for their time, and not for the disk that they fill until then.
BRIEF = {"max_disk_mb": 2000}
#: A loaded machine may take so long to start Python.
START_SECONDS = 20
#: A directory without permissions is closed to root, too.
WITHOUT_CAPABILITIES = (
    ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
)
WORKER = (sys.executable, "-m", "ffmpeg_worker")
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": f"{ROOT}/jobs:{ROOT}/worker",
    "LANG": "C.UTF-8",
}


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """One worker for all tests that leave it as they found it."""
    for name in ("ffmpeg", "bwrap"):
        if shutil.which(name) is None:
            words = f"{name} is not installed"
            pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    directory = tmp_path_factory.mktemp("farm")
    (directory / "output").mkdir()
    secrets = make_home(directory)
    (directory / "key").write_text(secrets[Role.WORKER])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        master = start(directory, listener)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = MasterClient(Endpoint(url, secrets[Role.ADMIN]))
        made = Farm(directory, url, client)
        made.configure("require_enforcement = false", '[metrics]\naddress = "127.0.0.1:19091"')
        made.start()
        yield made
        made.stop()
        client.close()
        master.terminate()
        master.wait(PATIENCE_SECONDS)


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
    pids = until(lambda: _named("ffmpeg", farm.directory))
    assert os.getpriority(os.PRIO_PROCESS, pids[0]) == 10
    limits = Path(f"/proc/{pids[0]}/limits").read_text().splitlines()
    data = next(line for line in limits if line.startswith("Max data size"))
    assert data.split()[3] == str(1024 << 20)
    farm.client.cancel(job)
    assert farm.ended(job).state is State.CANCELED
    until(lambda: not _named("ffmpeg", farm.directory))


def test_a_job_over_its_time_is_ended_with_all_its_processes(farm: Farm) -> None:
    job = farm.submit(parameters={"duration": 3600}, resource_limits=BRIEF | {"timeout_sec": 2})
    ended = farm.ended(job)
    assert (ended.state.value, ended.reason and ended.reason.value) == ("failed", "timeout")
    assert ended.usage is not None
    # Its holder took some of that time to start; nobody else would end it.
    assert 1 <= (ended.usage.wall_seconds or 0) < 12
    assert ended.enforced is False
    assert not _named("ffmpeg", farm.directory)


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
    pids = _named("ffmpeg", farm.directory)
    farm.stop(by)
    farm.start()
    until(lambda: farm.log.rstrip().rfind("adopted") > 0)
    assert _named("ffmpeg", farm.directory) == pids
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
        verify(plan, os.getpid(), confined=False)


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


def _named(name: str, directory: Path) -> list[int]:
    """Processes of that name that a job of this worker runs."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            mine = str(directory).encode() in (place / "mountinfo").read_bytes()
            if mine and (place / "comm").read_text().strip() == name:
                found.append(int(place.name))
        except OSError:
            continue
    return found
