"""set-limits, pause and resume: what they say, against a real master."""

from __future__ import annotations

import json

import pytest

from ffmpeg_jobs.model import Claim, Heartbeat, Report, Terms
from tests.cli.conftest import Cli, Farm, NewJob, Worker


def confirm(worker: Worker, claim: Claim, terms: Terms, unmet: str | None = None) -> None:
    report = Report(claim.job_id, claim.attempt, claim.token, in_force=terms, unmet=unmet)
    worker.client.heartbeat(worker.name, Heartbeat((report,), 20480))


def test_set_limits_says_what_they_are_now(
    cli: Cli, farm: Farm, new_job: NewJob, worker: Worker
) -> None:
    job_id = new_job()
    run = cli.run("set-limits", job_id, "--cpu", "150", "--timeout", "60")
    assert run.stdout == f"{job_id} CPU 150 %, memory 2048 MiB, disk 5000 MiB, timeout 60 s\n"
    assert (run.returncode, run.stderr) == (0, "")
    claim = worker.take(job_id)
    run = cli.run("set-limits", job_id, "--memory", "300")
    assert f"ffmpeg-jobs show {job_id}" in run.stderr
    limits = farm.client().job(claim.job_id).job.resource_limits
    assert (limits.max_cpu_percent, limits.max_memory_mb, limits.timeout_sec) == (150, 300, 60)


def test_set_limits_as_json(cli: Cli, new_job: NewJob) -> None:
    shown = json.loads(cli.run("set-limits", new_job(), "--memory", "300", "--json").stdout)
    assert shown["job"]["resource_limits"]["max_memory_mb"] == 300


def test_the_timeout_of_a_running_job_is_refused(cli: Cli, new_job: NewJob, worker: Worker) -> None:
    worker.take(job_id := new_job())
    run = cli.run("set-limits", job_id, "--timeout", "60")
    assert (run.returncode, run.stdout) == (1, "")
    assert "systemd fixes RuntimeMaxSec" in run.stderr


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        ([], 2, "Give at least one of --cpu, --memory, --timeout."),
        (["--memory", "much"], 2, "'much' is not a valid integer"),
        (["--memory", "15"], 1, "max_memory_mb: 15 is not allowed"),
    ],
)
def test_set_limits_checks_before_it_asks(
    cli: Cli, flags: list[str], status: int, words: str
) -> None:
    run = cli.run("set-limits", "aaaaaaaaaaaa", *flags)
    assert (run.returncode, run.stdout) == (status, "")
    assert words in run.stderr


def test_pause_and_resume_name_each_job(cli: Cli, new_job: NewJob, worker: Worker) -> None:
    claims = [worker.take(new_job()) for _ in range(2)]
    ids = [claim.job_id for claim in claims]
    run = cli.run("pause", *ids)
    assert run.stdout.splitlines() == [f"{job_id} running (pausing)" for job_id in ids]
    for claim in claims:
        confirm(worker, claim, Terms(True, 150, 300))
    shown = cli.run("show", ids[0]).stdout
    assert f"{ids[0]} paused\n" in shown
    assert "in force    CPU 150 %, memory 300 MiB" in shown
    assert ids[1] in cli.run("list", "--state", "paused").stdout
    run = cli.run("resume", *ids)
    assert run.stdout.splitlines() == [f"{job_id} paused (resuming)" for job_id in ids]
    confirm(worker, claims[0], Terms())
    shown = cli.run("show", ids[0]).stdout
    assert f"{ids[0]} running\n" in shown
    assert "no limit on CPU, no limit on memory" in shown


def test_retry_queues_what_was_canceled(cli: Cli, new_job: NewJob) -> None:
    canceled, queued = new_job(), new_job()
    cli.run("cancel", canceled)
    run = cli.run("retry", canceled, queued)
    assert run.returncode == 1
    assert run.stdout == f"{canceled} queued\n"
    assert f"job {queued} is queued; only one that failed or was canceled" in run.stderr


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_they_go_on_after_a_refusal(cli: Cli, new_job: NewJob, worker: Worker, verb: str) -> None:
    claim, waiting = worker.take(new_job()), new_job()
    run = cli.run(verb, "aaaaaaaaaaaa", waiting, claim.job_id)
    assert run.returncode == 1
    assert "there is no job aaaaaaaaaaaa" in run.stderr
    assert f"job {waiting} is queued; only one that runs" in run.stderr
    assert run.stdout.startswith(f"{claim.job_id} running")
    cli.run("cancel", waiting)


def test_show_says_why_a_wish_is_not_in_force(cli: Cli, new_job: NewJob, worker: Worker) -> None:
    claim = worker.take(new_job())
    confirm(worker, claim, Terms(False, 50, 256), "800 is over the cap")
    assert "unmet       800 is over the cap" in cli.run("show", claim.job_id).stdout
