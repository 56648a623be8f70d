"""What each verb says and does, against a real master."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from ffmpeg_jobs.model import Free, Heartbeat, Reason, Role
from tests.cli.conftest import COMPLETED, JOB, Cli, Farm, NewJob, Worker, failed, on_terminal


def test_submit_prints_the_id_alone(cli: Cli, farm: Farm) -> None:
    run = cli.run("submit", *JOB, "--label", "title=42", "--cpu", "50")
    job = farm.client().job(run.stdout.strip())
    assert run.stdout == f"{job.id}\n"
    assert f"ffmpeg-jobs watch {job.id}" in run.stderr
    assert job.job.labels == {"title": "42"}
    assert job.job.resource_limits.max_cpu_percent == 50


def test_flags_lie_over_the_file(cli: Cli, farm: Farm) -> None:
    file = {"scenario": "preview", "parameters": {"duration": 5, "crf": 20}, "labels": {"a": "1"}}
    flags = ("--crf", "33", "--queue", "batch", "--label", "b=2")
    run = cli.run("submit", "-", *flags, stdin=json.dumps(file))
    job = farm.client().job(run.stdout.strip()).job
    assert (job.parameters.duration, job.parameters.crf) == (5.0, 33)
    assert (job.queue.value, job.labels) == ("batch", {"a": "1", "b": "2"})


def test_submit_as_json(cli: Cli) -> None:
    shown = json.loads(cli.run("submit", *JOB, "--json").stdout)
    assert (shown["state"], shown["job"]["scenario"]) == ("queued", "preview")


def test_an_idempotency_key_submits_once(cli: Cli) -> None:
    first, second = (cli.run("submit", *JOB, "--idempotency-key", "once") for _ in range(2))
    assert first.returncode == second.returncode == 0
    assert first.stdout == second.stdout


def test_a_job_that_depends_on_another_says_so(cli: Cli, new_job: NewJob) -> None:
    first, second = new_job(), new_job()
    last = cli.run("submit", *JOB, "--depends-on", first, "--depends-on", second).stdout.strip()
    shown = cli.run("show", last).stdout
    assert f"  depends on  {first} {second}\n" in shown
    assert f"  waits for   jobs {', '.join(sorted((first, second)))}\n" in shown
    assert "awaited     yes" in cli.run("show", first).stdout
    cli.run("cancel", second, first)
    assert f"{last} failed (dependency_failed)" in cli.run("show", last).stdout
    run = cli.run("retry", last)
    assert (run.returncode, run.stdout) == (1, "")
    assert "which it depends on, is canceled" in run.stderr
    run = cli.run("submit", *JOB, "--depends-on", "aaaaaaaaaaaa")
    assert run.returncode == 1
    assert "depends_on[0]: there is no job aaaaaaaaaaaa" in run.stderr


def test_a_group_has_one_bar_and_one_cancel(cli: Cli) -> None:
    first, second = (cli.run("submit", *JOB, "--group", "night").stdout.strip() for _ in range(2))
    cli.run("cancel", first)
    run = cli.run("group", "night")
    assert run.stdout == f"night [{'#' * 15}{'-' * 15}] 50.0 % of 2 jobs: 1 queued, 1 canceled\n"
    assert json.loads(cli.run("group", "night", "--json").stdout)["percent"] == 50
    assert second in cli.run("list", "--group", "night", "--state", "queued").stdout
    run = cli.run("cancel", "--group", "night")
    assert run.stdout == f"night [{'#' * 30}] 100.0 % of 2 jobs: 2 canceled\n"
    assert cli.run("cancel").returncode == 2
    run = cli.run("group", "nobody")
    assert (run.returncode, run.stdout) == (1, "")
    assert "there is no job of a group nobody" in run.stderr


def test_list_filters(cli: Cli, new_job: NewJob, worker: Worker) -> None:
    waiting, done = new_job(labels={"kind": "l"}), new_job(labels={"kind": "l"})
    cli.run("cancel", done)
    assert waiting in cli.run("list", "--label", "kind=l", "--state", "queued").stdout
    assert done not in cli.run("list", "--label", "kind=l", "--status", "queued").stdout
    table = cli.run("list", "--label", "kind=l").stdout.splitlines()
    assert table[0].split() == ["ID", "STATE", "PROGRESS", "SCENARIO", "AGE", "WORKER"]
    assert [row.split()[:2] for row in table[1:]] == [[done, "canceled"], [waiting, "queued"]]
    rows = json.loads(cli.run("list", "--label", "kind=l", "--limit", "1", "--json").stdout)
    assert [row["id"] for row in rows] == [done]


def test_show_tells_everything(cli: Cli, new_job: NewJob, worker: Worker) -> None:
    job_id = new_job(labels={"title": "42"}, resource_limits={"max_memory_mb": 256})
    claim = worker.take(job_id)
    worker.progress(claim, 42)
    running = cli.run("show", job_id).stdout
    assert f"{job_id} running" in running
    assert "42 %, frame 42, 24.0 fps, 1.50x, ETA 0:00:12" in running
    worker.end(claim, failed(Reason.ENCODER_ERROR, "the encoder refused", "last words"))
    ended = cli.run("show", job_id).stdout
    expected = (
        "failed (encoder_error)",
        "memory 256 MiB",
        "title=42",
        "CPU 1.50 s, throttled 0.25 s, memory peak 64.0 MiB",
        "the encoder refused",
        "    last words",
        "sim-1",
    )
    assert [text for text in expected if text not in ended] == []
    assert json.loads(cli.run("show", job_id, "--json").stdout)["reason"] == "encoder_error"


def test_show_keeps_control_characters_from_the_terminal(
    cli: Cli, new_job: NewJob, worker: Worker
) -> None:
    claim = worker.take(job_id := new_job())
    worker.end(claim, failed(Reason.INPUT_ERROR, "\x1b[2Jgone", "\x1b]0;title\x07"))
    assert "\x1b" not in cli.run("show", job_id).stdout


def test_cancel_names_each_job(cli: Cli, new_job: NewJob, worker: Worker) -> None:
    running, waiting = new_job(), new_job()
    worker.take(running)
    run = cli.run("cancel", running, waiting)
    assert run.stdout.splitlines() == [f"{running} is being canceled", f"{waiting} canceled"]
    assert run.returncode == 0


def test_cancel_goes_on_after_a_refusal(cli: Cli, new_job: NewJob) -> None:
    run = cli.run("cancel", "aaaaaaaaaaaa", job_id := new_job())
    assert run.returncode == 1
    assert "aaaaaaaaaaaa" in run.stderr
    assert run.stdout == f"{job_id} canceled\n"


def test_attempts_are_a_table(cli: Cli, new_job: NewJob, worker: Worker) -> None:
    job_id = new_job()
    worker.end(worker.take(job_id), failed(Reason.TIMEOUT, "too long"))
    (head, row) = cli.run("attempts", job_id).stdout.splitlines()
    assert head.split() == ["ATTEMPT", "STATE", "WORKER", "STARTED", "TOOK", "CPU", "PEAK", "ERROR"]
    assert row.split()[:4] == ["1", "failed", "(timeout)", "sim-1"]
    (told,) = json.loads(cli.run("attempts", job_id, "--json").stdout)
    assert (told["attempt"], told["outcome"]["state"]) == (1, "failed")


def test_logs_are_printed_as_they_are(cli: Cli, new_job: NewJob, worker: Worker) -> None:
    claim = worker.take(job_id := new_job())
    worker.client.put_log(job_id, claim.attempt, claim.token, "first\nzwei ä\n".encode())
    assert cli.run("logs", job_id).stdout == "first\nzwei ä\n"
    assert cli.run("logs", job_id, "--attempt", "1").stdout == "first\nzwei ä\n"
    missing = cli.run("logs", job_id, "--attempt", "7")
    assert (missing.returncode, missing.stdout) == (1, "")


def test_logs_cannot_command_a_terminal(cli: Cli, new_job: NewJob, worker: Worker) -> None:
    claim = worker.take(job_id := new_job())
    worker.client.put_log(job_id, claim.attempt, claim.token, b"a\x1b[31mb\n")
    assert on_terminal(cli, "logs", job_id).read_to_end() == "a?[31mb\r\n"


def test_workers_are_listed(cli: Cli, worker: Worker) -> None:
    row = cli.run("workers").stdout.splitlines()[1]
    for cell in ("sim-1", "yes", "/4", "8.0 GiB", "20.0 GiB", "system", "cpu, memory", " ago"):
        assert cell in row
    shown = json.loads(cli.run("workers", "--json").stdout)
    assert shown[0]["machine"]["cpus"] == 4
    assert datetime.fromisoformat(shown[0]["last_heartbeat_at"])


def test_what_a_worker_has_free_and_why_it_waits_is_shown(cli: Cli, worker: Worker) -> None:
    why = "cpu pressure 85 % is over 80 %"
    told = Heartbeat(free=Free(250, 6144, 18432, 3), held_back=why)
    worker.client.heartbeat(worker.name, told)
    row = cli.run("workers").stdout.splitlines()[1]
    assert "250 %, 6.0 GiB, 18.0 GiB" in row
    assert why in row
    (shown,) = json.loads(cli.run("workers", "--json").stdout)
    free = {"cpu_percent": 250, "memory_mb": 6144, "disk_mb": 18432, "slots": 3}
    assert (shown["free"], shown["held_back"]) == (free, why)
    worker.client.heartbeat(worker.name, Heartbeat())
    (shown,) = json.loads(cli.run("workers", "--json").stdout)
    assert shown.keys().isdisjoint({"free", "held_back"})


def test_a_table_is_never_cut_in_a_pipe_and_never_breaks_on_a_terminal(
    cli: Cli, new_job: NewJob, worker: Worker
) -> None:
    job_id = new_job()
    worker.end(worker.take(job_id), COMPLETED)
    piped = cli.run("list", "--limit", "1", COLUMNS="20").stdout
    assert len(piped.splitlines()) == 2
    assert "sim-1" in piped
    narrow = on_terminal(cli, "list", "--limit", "1", columns=30).read_to_end()
    assert len(narrow.splitlines()) == 2
    assert job_id in narrow


def test_colours_only_where_they_are_wanted(cli: Cli, new_job: NewJob, worker: Worker) -> None:
    worker.end(worker.take(new_job()), COMPLETED)
    green = "\x1b[32mcompleted"
    assert green in on_terminal(cli, "list", "--limit", "1").read_to_end()
    assert green not in on_terminal(cli, "list", "--limit", "1", NO_COLOR="1").read_to_end()
    assert "\x1b" not in cli.run("list").stdout


@pytest.mark.parametrize("verb", ["show", "list"])
def test_a_terminal_without_unicode_will_do(cli: Cli, new_job: NewJob, verb: str) -> None:
    job_id = new_job(labels={"title": "日本語"})
    shown = {"show": [job_id], "list": ["--worker", "nobody"]}[verb]
    run = cli.run(verb, *shown, PYTHONIOENCODING="latin-1")
    assert (run.returncode, run.stderr) == (0, "")
    assert verb == "list" or "title=???" in run.stdout


def test_a_reader_that_leaves_is_no_error(cli: Cli, new_job: NewJob) -> None:
    new_job()
    process = cli.start("list", "--json")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait()


def test_what_a_key_may_not_do(farm: Farm, cli: Cli) -> None:
    run = cli.run("submit", *JOB, FFMPEG_JOBS_KEY_FILE=farm.key_file(Role.READ))
    assert run.returncode == 77
    assert f"hint: the key came from key file {farm.key_file(Role.READ)}" in run.stderr
    assert "$FFMPEG_JOBS_KEY_FILE" in run.stderr


def test_a_key_that_nobody_knows(cli: Cli) -> None:
    run = cli.run("list", FFMPEG_JOBS_KEY="not-a-key", FFMPEG_JOBS_KEY_FILE="")
    assert run.returncode == 77
    assert "$FFMPEG_JOBS_KEY" in run.stderr
    assert "not-a-key" not in run.stderr


def test_a_job_that_is_not_there(cli: Cli) -> None:
    run = cli.run("show", "aaaaaaaaaaaa")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("ffmpeg-jobs: ")
    assert "Traceback" not in run.stderr


def test_a_master_without_a_secret_takes_no_callback(cli: Cli) -> None:
    done = cli.run("submit", *JOB, "--callback-url", "https://app.example/")
    assert (done.returncode, done.stdout) == (1, "")
    assert "callback_url" in done.stderr
    assert "[webhooks] secret_file" in done.stderr
    refused = cli.run("submit", *JOB, "--callback-url", "app.example")
    assert refused.returncode == 1
    assert "it was set by --callback-url" in refused.stderr
