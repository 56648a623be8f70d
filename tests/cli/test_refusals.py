"""What is refused before a master is asked: the command line, the configuration, the job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ffmpeg_jobs.cli.main import VERBS
from tests.cli.conftest import Cli

#: Nobody answers there; a refusal comes first.
NOWHERE = {"FFMPEG_JOBS_MASTER": "http://127.0.0.1:1", "FFMPEG_JOBS_KEY": "k"}


@pytest.fixture
def alone(tmp_path: Path) -> Cli:
    return Cli(tmp_path, NOWHERE)


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_needs_no_configuration(tmp_path: Path, verb: str) -> None:
    run = Cli(tmp_path).run(*([verb] if verb else []), "--help")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("Usage: ffmpeg-jobs")


def test_version(alone: Cli) -> None:
    assert alone.run("--version").stdout.startswith("ffmpeg-jobs ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], "No such command 'fly'"),
        (["show"], "Missing argument 'ID'"),
        (["show", "../workers"], "'../workers' is not a job id"),
        (["cancel"], "Give an ID, or --group."),
        (["submit"], "Give a FILE, or flags"),
        (["submit", "missing.json"], "No such file"),
        (["submit", "--crf", "high"], "'high' is not a valid integer"),
        (["submit", "--duration", "1", "--label", "x"], "'x' is not NAME=TEXT"),
        (["submit", "--key", "secret"], "No such option: --key"),
        (["list", "--state", "lost"], "'lost' is not one of"),
        (["logs", "aaaaaaaaaaaa", "--attempt", "0"], "0 is not in the range"),
    ],
)
def test_a_wrong_command_line(alone: Cli, arguments: list[str], words: str) -> None:
    run = alone.run(*arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert words in run.stderr


@pytest.mark.parametrize(
    ("job", "flags", "words"),
    [
        ({"duration": 5}, [], "duration: unknown field; allowed are scenario, input"),
        ({}, [], "parameters.duration: missing"),
        ({"parameters": 5}, ["--crf", "3"], "parameters: 5 is not allowed"),
        ({"input": "/a"}, ["--crf", "99"], "parameters.crf: 99 is not allowed; allowed is a whole"),
        ({"input": "/a"}, ["--cpu", "0"], "resource_limits.max_cpu_percent: 0 is not allowed"),
        ([], [], "a job is an object, this is list"),
    ],
)
def test_a_wrong_job_is_refused_at_once(
    alone: Cli, job: object, flags: list[str], words: str
) -> None:
    run = alone.run("submit", "-", *flags, stdin=json.dumps(job))
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("ffmpeg-jobs: ")
    assert words in run.stderr


def test_a_refusal_names_the_flag(alone: Cli) -> None:
    run = alone.run("submit", "--duration", "5", "--cpu", "0")
    assert "hint: it was set by --cpu" in run.stderr


@pytest.mark.parametrize("text", ["{", '"\udcff"', "[" * 100_000], ids=["cut", "bytes", "deep"])
def test_what_is_not_json(alone: Cli, text: str) -> None:
    run = alone.run("submit", "-", stdin=text)
    assert run.returncode == 1
    assert "not JSON" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_wrong_configuration(alone: Cli, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('mster = "x"')
    run = alone.run("--config", str(config), "list")
    assert run.returncode == 78
    assert f"ffmpeg-jobs: {config}: mster: unknown; allowed are" in run.stderr


def test_no_key_at_all(tmp_path: Path) -> None:
    run = Cli(tmp_path).run("list", "--config", "/dev/null")
    assert run.returncode == 78
    assert "no API key is set\nhint: set key_file in" in run.stderr


def test_nobody_answers(alone: Cli) -> None:
    run = alone.run("list")
    assert run.returncode == 69
    assert "no answer from the master at http://127.0.0.1:1: Connection refused" in run.stderr
    assert "hint: http://127.0.0.1:1 came from $FFMPEG_JOBS_MASTER" in run.stderr


def test_a_key_that_all_can_read_is_told(alone: Cli, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k")
    key.chmod(0o644)
    run = alone.run("list", "--key-file", str(key))
    assert f"everybody on this machine can read the API key in {key}" in run.stderr
    assert f"hint: chmod 600 {key}" in run.stderr


@pytest.mark.parametrize("before", [True, False])
def test_options_stand_before_or_after_the_verb(alone: Cli, before: bool) -> None:
    flags = ["--master", "http://127.0.0.1:2"]
    run = alone.run(*flags, "list") if before else alone.run("list", *flags)
    assert "http://127.0.0.1:2 came from --master" in run.stderr
