"""A real master, a real worker with manager = "none", real ffmpeg, and no systemd."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import JobStatus, Role, State
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

    def __init__(
        self, directory: Path, url: str, client: MasterClient, master: subprocess.Popen[bytes]
    ) -> None:
        self.directory = directory
        self.master = master
        self.url = url
        self.client = client
        self.worker: subprocess.Popen[bytes] | None = None

    def configure(self, *lines: str) -> None:
        (self.directory / "worker.toml").write_text("\n".join((*self.settings, *lines, *NETWORK)))

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

    def start(self, worker: tuple[str, ...] | None = None) -> None:
        with (self.directory / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(
                [*(worker or WORKER), "--config", str(self.directory / "worker.toml")],
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


#: The servers of tests are here.
NETWORK = ("[network]", 'allow = ["127.0.0.0/8"]')
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
    with farm_in(tmp_path_factory.mktemp("farm")) as made:
        yield made


@contextmanager
def farm_in(directory: Path, master_toml: str = "") -> Iterator[Farm]:
    """A master with these settings, and its worker."""
    for name in ("ffmpeg", "bwrap"):
        if shutil.which(name) is None:
            words = f"{name} is not installed"
            pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    (directory / "output").mkdir()
    secrets = make_home(directory, master_toml)
    (directory / "key").write_text(secrets[Role.WORKER])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = MasterClient(Endpoint(url, secrets[Role.ADMIN]))
        made = Farm(directory, url, client, start(directory, listener))
        made.configure("require_enforcement = false", '[metrics]\naddress = "127.0.0.1:19091"')
        made.start()
        yield made
        made.stop()
        client.close()
        made.master.terminate()
        made.master.wait(PATIENCE_SECONDS)


def named(name: str, directory: Path) -> list[int]:
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
