"""A worker that is cut off between its publishing and its report: its output lies in its place,
and nothing is said of the job that contradicts it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.model import State
from ffmpeg_worker.marks import ATTRIBUTE
from tests.unmanaged.conftest import Farm, farm_in, until

ANNOUNCED = b"publishing=true"


class Line:
    """A way to the master that breaks when the announcement of a publication was answered."""

    def __init__(self, master_port: int) -> None:
        self._master_port = master_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.breaks = False  #: at the next announcement
        self.broken = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()
        self._cut()

    def mend(self) -> None:
        self.breaks = self.broken = False

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                worker = self._listener.accept()[0]
                if self.broken:
                    worker.close()
                    continue
                master = socket.create_connection(("127.0.0.1", self._master_port))
                self._open += [worker, master]
                announcing = threading.Event()
                for ends in (
                    (worker, master, announcing, False),
                    (master, worker, announcing, True),
                ):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(
        self, one: socket.socket, other: socket.socket, announcing: threading.Event, answers: bool
    ) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if not answers and ANNOUNCED in data:
                    announcing.set()
                other.sendall(data)
                if answers and self.breaks and announcing.is_set():
                    self.broken = True
                    self._cut()
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _cut(self) -> None:
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def cut_farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Farm, Line]]:
    with farm_in(tmp_path_factory.mktemp("cut")) as farm:
        farm.stop()
        line = Line(int(farm.url.rpartition(":")[2]))
        farm.url = line.url
        farm.configure("require_enforcement = false", '[metrics]\naddress = "127.0.0.1:19091"')
        farm.start()
        yield farm, line
        line.close()


@pytest.fixture
def farm(cut_farm: tuple[Farm, Line]) -> Iterator[Farm]:
    """Its line breaks at the next announcement."""
    cut_farm[1].breaks = True
    yield cut_farm[0]
    cut_farm[1].mend()


@pytest.fixture
def line(cut_farm: tuple[Farm, Line]) -> Line:
    return cut_farm[1]


def published(farm: Farm, name: str, **job: Any) -> tuple[str, Path]:
    """A job whose output is in its place, and its master was not told so."""
    output = farm.directory / "output" / name
    job_id = farm.submit(output=str(output), parameters={"duration": 1}, **job)
    until(output.exists)
    assert farm.client.job(job_id).state is State.RUNNING
    return job_id, output


def run_out(farm: Farm, job_id: str) -> None:
    """As if the lease of who publishes had run out."""
    with closing(sqlite3.connect(farm.directory / "master.db", timeout=60)) as database:
        lease = database.execute("SELECT lease_until FROM jobs WHERE id = ?", [job_id]).fetchone()
        assert lease[0] > time.time() + 100  # it is waited for much longer than others
        database.execute("UPDATE jobs SET lease_until = 1 WHERE id = ?", [job_id])
        database.commit()
    until(lambda: farm.client.job(job_id).state is not State.RUNNING)


@pytest.mark.parametrize("canceled", [False, True])
def test_what_was_published_is_told_of_though_the_job_was_lost_on_its_last_attempt(
    farm: Farm, line: Line, canceled: bool
) -> None:
    job_id, output = published(farm, f"late-{canceled}.mp4", max_attempts=1)
    made = output.stat()
    farm.stop(signal.SIGKILL)
    if canceled:
        farm.client.cancel(job_id)
    run_out(farm, job_id)
    lost = farm.client.job(job_id).state
    assert lost is (State.CANCELED if canceled else State.FAILED)
    line.mend()
    farm.start()
    until(lambda: farm.client.job(job_id).state is State.COMPLETED)
    status = farm.client.job(job_id)
    assert status.attempt == 1 and status.media is not None
    assert status.media.size_bytes == output.stat().st_size
    assert (output.stat().st_ino, output.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert "Output #0" in farm.client.log(job_id)


def marks(folder: Path) -> bool:
    """Whether files can be marked there."""
    try:
        os.setxattr(folder, ATTRIBUTE, b"")
        os.removexattr(folder, ATTRIBUTE)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("whole", [True, False])
def test_who_gets_the_job_next_takes_what_is_there_if_it_is_whole(
    farm: Farm, line: Line, whole: bool
) -> None:
    """The machine is gone, with all that it had written down."""
    job_id, output = published(farm, f"taken-{whole}.mp4", max_attempts=2)
    made = output.stat()
    if not marks(output.parent):
        pytest.skip("no user.* attributes on this file system")
    assert os.getxattr(output, ATTRIBUTE) == job_id.encode()
    farm.stop(signal.SIGKILL)
    shutil.rmtree(farm.directory / "state" / "jobs")
    if not whole:
        with output.open("r+b") as file:
            file.truncate(100)
    line.mend()
    run_out(farm, job_id)
    farm.start()
    status = farm.ended(job_id)
    assert status.state is State.COMPLETED and status.media is not None
    assert status.media.size_bytes == output.stat().st_size == made.st_size
    assert (status.attempt, status.given_back) == ((2, 0) if whole else (3, 1))
    assert (output.stat().st_ino == made.st_ino) is whole
    assert list(output.parent.glob("*.part")) == []


def test_who_is_back_in_time_is_heard(farm: Farm, line: Line) -> None:
    job_id, output = published(farm, "back.mp4")
    made = output.stat().st_ino
    line.mend()
    status = farm.ended(job_id)
    assert (status.state, status.attempt) == (State.COMPLETED, 1)
    assert output.stat().st_ino == made
