"""Workers are set aside, emptied and forgotten from anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from ffmpeg_jobs.model import Heartbeat, Role
from tests.cli.conftest import Cli, Farm, Worker


@pytest.fixture
def admin(farm: Farm, tmp_path: Path) -> Cli:
    return farm.cli(tmp_path, Role.ADMIN)


def row(cli: Cli) -> str:
    return next(line for line in cli.run("workers").stdout.splitlines() if "sim-1" in line)


@pytest.mark.parametrize(("verb", "done"), [("cordon", "cordoned"), ("drain", "draining")])
def test_a_worker_is_set_aside_and_taken_back(
    admin: Cli, worker: Worker, verb: str, done: str
) -> None:
    for asked, said, shown in ((verb, done, True), (f"un{verb}", f"un{verb}ed", False)):
        ran = admin.run(asked, worker.name)
        assert (ran.returncode, ran.stdout) == (0, f"{worker.name} {said}\n"), ran.stderr
        assert (done in row(admin)) is shown


def test_a_drain_has_its_time(admin: Cli, worker: Worker) -> None:
    assert admin.run("drain", worker.name, "--timeout", "600").returncode == 0
    told = worker.client.heartbeat(worker.name, Heartbeat())
    assert told.drain_seconds is not None
    assert 0 < told.drain_seconds <= 600
    assert admin.run("undrain", worker.name).returncode == 0
    done = admin.run("drain", worker.name, "--timeout", "soon")
    assert done.returncode == 2
    assert "'soon' is not a valid integer range" in done.stderr


def test_the_others_are_asked_when_one_is_unknown(admin: Cli, worker: Worker) -> None:
    done = admin.run("cordon", "nobody", worker.name)
    assert (done.returncode, done.stdout) == (1, f"{worker.name} cordoned\n")
    assert "no worker is named nobody" in done.stderr
    assert admin.run("uncordon", worker.name).returncode == 0


def test_a_worker_that_is_online_stays(admin: Cli, farm: Farm, worker: Worker) -> None:
    done = admin.run("remove-worker", worker.name)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"worker {worker.name} is online" in done.stderr
    assert [row.name for row in farm.client().workers()] == [worker.name]


def test_only_an_admin_may(cli: Cli, worker: Worker) -> None:
    for verb in ("cordon", "uncordon", "drain", "undrain", "remove-worker"):
        done = cli.run(verb, worker.name)
        assert (verb, done.returncode) == (verb, 77), done.stderr
        assert "admin" in done.stderr
