"""``ffmpeg-worker COMMAND``: what an operator asks of the machine itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}


def worker(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ffmpeg_worker", *words]
    return subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False
    )


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    file = tmp_path / "worker.toml"
    file.write_text(
        f'state_directory = "{tmp_path}/state"\n'
        "[capacity]\njobs_cpu_percent = 1600\njobs_memory_mb = 512\njobs_disk_mb = 80\n"
        "memory_mb_per_job = 32\ndisk_mb_per_job = 10\n"
    )
    return file


def capacity(*words: str) -> dict[str, Any]:
    done = worker("capacity", "--json", *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_capacity_needs_no_key_and_no_worker(toml: Path) -> None:
    done = worker("--config", str(toml), "capacity")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "cpu     jobs_cpu_percent = 1600 %, x 75 % (workload cpu) = 1200 %, at 100 % per job: 12",
        "memory  jobs_memory_mb = 512 MB, at 32 MB per job: 16",
        "disk    jobs_disk_mb = 80 MB, at 10 MB per job: 8",
        "least   disk: 8",
        "recommended: max_concurrent_jobs = 8",
    ]


def test_capacity_as_json(toml: Path) -> None:
    found = capacity("--config", str(toml))
    assert {k: found[k] for k in ("limited_by", "max_concurrent_jobs", "configured")} == {
        "limited_by": "disk",
        "max_concurrent_jobs": 8,
        "configured": 8,
    }
    assert [row["jobs"] for row in found["lines"]] == [12, 16, 8]


def test_what_is_set_counts_and_is_said(toml: Path) -> None:
    toml.write_text("max_concurrent_jobs = 3\n" + toml.read_text())
    assert capacity("--config", str(toml))["configured"] == 3
    assert "it is set to 3, and that counts" in worker("capacity", "--config", str(toml)).stdout
    shown = worker("--config", str(toml), "--max-concurrent-jobs", "5", "capacity").stdout
    assert "it is set to 5" in shown


def test_without_a_manager_one_is_recommended(toml: Path) -> None:
    toml.write_text('manager = "none"\n' + toml.read_text())
    said = worker("capacity", "--config", str(toml)).stdout.splitlines()
    assert said[-3:] == [
        "manager nobody keeps jobs from each other: 1",
        "least   manager: 1",
        "recommended: max_concurrent_jobs = 1",
    ]


def test_this_machine_takes_at_least_one(tmp_path: Path) -> None:
    toml = tmp_path / "worker.toml"
    toml.write_text(f'state_directory = "{tmp_path}"\n')
    assert capacity("--config", str(toml))["configured"] >= 1


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('workload = "gpu"', '[capacity] workload: "gpu" is not one of "cpu", "mixed", "io"'),
        ("memory_mb_per_job = 0", "[capacity] memory_mb_per_job: 0 is not a whole number of MiB"),
        ("spare = 1", "[capacity] spare: unknown; allowed are bitrate_mbps"),
    ],
)
def test_a_wrong_setting_is_refused(tmp_path: Path, line: str, complaint: str) -> None:
    toml = tmp_path / "worker.toml"
    toml.write_text(f"[capacity]\n{line}\n")
    done = worker("capacity", "--config", str(toml))
    assert done.returncode == 78
    assert complaint in done.stderr


def test_an_unknown_command_is_a_usage_error() -> None:
    done = worker("capcity")
    assert done.returncode == 2
    assert "invalid choice: 'capcity'" in done.stderr


@pytest.mark.parametrize("words", [("--api-key", "s3cret"), ("--api-key=s3cret",), ("--api-key",)])
@pytest.mark.parametrize("command", [(), ("capacity",)])
def test_a_key_on_the_command_line_is_refused_and_not_repeated(
    words: tuple[str, ...], command: tuple[str, ...]
) -> None:
    """The operations guide of the system before this one has the key there."""
    done = worker(*words, *command)
    assert done.returncode == 2
    assert "--api-key: a secret on a command line can be read by everybody" in done.stderr
    assert "--api-key-file FILE" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize("words", [("--print",), ("capacity", "--js")])
def test_flags_are_written_out(words: tuple[str, ...]) -> None:
    done = worker(*words)
    assert done.returncode == 2
    assert f"unrecognized arguments: {words[-1]}" in done.stderr
