"""Simulated workers: what they tell of a master, and that they keep from real jobs."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from ffmpeg_jobs.model import JobStatus, Role, State
from tests.api.conftest import PATIENCE_SECONDS, until
from tests.cli.conftest import Cli, Farm, Worker, on_terminal, open_farm

SMALL = ("simulate", "--workers", "5", "--jobs", "20", "--job-seconds", "0.01")
#: More than a test lets happen.
LONG = ("simulate", "--workers", "3", "--jobs", "9", "--job-seconds", "600")
#: A job that goes to any machine, however small, and whatever that enforces.
MODEST: dict[str, Any] = {
    "parameters": {"duration": 5},
    "require_enforcement": False,
    "resource_limits": {"max_cpu_percent": 1, "max_memory_mb": 16, "max_disk_mb": 1},
}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """A master that no real worker works for."""
    with open_farm(tmp_path_factory.mktemp("empty")) as farm:
        yield farm


@pytest.fixture
def admin(empty: Farm, tmp_path: Path) -> Cli:
    return empty.cli(tmp_path, Role.ADMIN)


def in_state(farm: Farm, state: State) -> list[JobStatus]:
    return list(farm.client().jobs(state=state.value))


def begin_long(farm: Farm, admin: Cli) -> Popen[str]:
    """A simulation whose workers are all at work."""
    process = admin.start(*LONG)
    # What an earlier one left running ends with its leases.
    until(lambda: len(in_state(farm, State.QUEUED)) == 6)
    return process


def test_it_tells_how_long_everything_took(empty: Farm, admin: Cli) -> None:
    done = admin.run(*SMALL, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["workers"], told["jobs"], told["errors"]) == (5, 20, {})
    counts = {kind: row["count"] for kind, row in told["latency_seconds"].items()}
    assert counts.pop("heartbeat") > 0
    assert counts == {"register": 5, "submit": 20, "claim": 20, "start": 20, "result": 20}
    for row in told["latency_seconds"].values():
        assert 0 < row["median"] <= row["p95"] <= row["p99"] <= row["longest"]
    assert told["requests_per_second"] > told["jobs_per_second"] > 0
    (group,) = {job.job.group for job in empty.client().jobs() if job.worker == "simulated-1"}
    assert empty.client().group(str(group)).states["completed"] == 20


def test_a_person_reads_a_table(admin: Cli) -> None:
    done = admin.run(*SMALL, "--rate", "200", "--name", "tried")
    assert done.returncode == 0, done.stderr
    assert "simulated workers run nothing" in done.stderr
    assert "from submit to start" in done.stdout
    assert "20 jobs by 5 workers" in done.stdout
    assert "0 errors" in done.stdout
    assert "jobs" in on_terminal(admin, *SMALL).read_to_end()


def test_a_master_with_real_workers_is_refused(farm: Farm, tmp_path: Path, worker: Worker) -> None:
    done = farm.cli(tmp_path, Role.ADMIN).run(*SMALL)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the worker {worker.name} is registered there" in done.stderr
    assert {row.name for row in farm.client().workers()} == {worker.name}


def test_a_master_with_real_jobs_is_refused(empty: Farm, admin: Cli) -> None:
    job = empty.client().submit(MODEST)
    done = admin.run(*SMALL)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the job {job.id} is queued there" in done.stderr
    empty.client().cancel(job.id)


def test_a_job_that_is_not_simulated_is_given_back(empty: Farm, admin: Cli) -> None:
    few = ("--workers", "3", "--jobs", "9", "--rate", "0.01", "--name", "strict")
    process = admin.start("simulate", *few)
    until(lambda: [row for row in empty.client().workers() if row.name.startswith("strict")])
    job = empty.client().submit(MODEST)
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert f"one was given the job {job.id}, and gave it back" in said
    after = empty.client().job(job.id)
    assert (after.state, after.given_back) == (State.QUEUED, 1)
    empty.client().cancel(job.id)


def test_an_ordinary_job_goes_to_no_simulated_worker(empty: Farm, admin: Cli) -> None:
    process = begin_long(empty, admin)
    job = empty.client().submit({"parameters": {"duration": 5}})
    assert "kernel that enforces" in str(empty.client().job(job.id).waiting_for)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert [left.id for left in in_state(empty, State.QUEUED)] == [job.id]
    empty.client().cancel(job.id)


def test_a_key_that_may_not_is_told_so(empty: Farm, tmp_path: Path) -> None:
    done = empty.cli(tmp_path, Role.SUBMIT).run(*SMALL)
    assert done.returncode == 77, done.stderr
    assert "worker" in done.stderr
