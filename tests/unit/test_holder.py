"""The real holder as a real process: its gate, its shield, its last words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.contract import LOG_MAX_BYTES
from ffmpeg_jobs.model import Reason
from ffmpeg_worker import holder
from ffmpeg_worker.facts import Facts
from ffmpeg_worker.outcome import conclude


class Started:
    """A holder that waits at its gate."""

    def __init__(
        self,
        directory: Path,
        run: list[str],
        probe: list[str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        self.directory = directory
        words = [str(len(run)), *run, *(probe or ()), "go", ""]
        self.opening = "\0".join(words).encode()
        command = ["env", "--block-signal=TERM"]
        command += [sys.executable, "-I", "-S", str(holder.__file__), str(directory)]
        command += map(str, descriptors)
        (directory / holder.FILTER).touch()
        with (directory / "journal").open("wb") as journal:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=journal,
                pass_fds=[
                    number for number in descriptors if Path(f"/proc/self/fd/{number}").exists()
                ],
            )

    def release(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(self.opening)
        self.process.stdin.close()

    def abandon(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait_for(self, name: str) -> None:
        while not (self.directory / name).exists():
            assert self.process.poll() is None
            time.sleep(0.01)

    def facts(self) -> dict[str, Any]:
        self.process.wait(timeout=30)
        facts: dict[str, Any] = json.loads((self.directory / "facts.json").read_text())
        return facts


@pytest.fixture
def end_all() -> Iterator[list[Started]]:
    started: list[Started] = []
    yield started
    for one in started:
        one.process.kill()
        one.process.wait()


def test_nothing_runs_before_the_gate_opens(tmp_path: Path) -> None:
    one = Started(tmp_path, ["touch", str(tmp_path / "ran")])
    one.wait_for("holder.json")
    assert not (tmp_path / "released").exists()
    one.release()
    assert one.facts()["exit_status"] == 0
    assert (tmp_path / "ran").exists()
    assert (tmp_path / "released").exists()


def test_a_dead_worker_closes_the_gate_for_good(tmp_path: Path) -> None:
    one = Started(tmp_path, ["touch", str(tmp_path / "ran")])
    one.abandon()
    assert one.process.wait(timeout=30) == 0
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "facts.json").exists()


def test_half_a_command_does_not_open_the_gate(tmp_path: Path) -> None:
    one = Started(tmp_path, ["touch", str(tmp_path / "ran")])
    one.opening = one.opening[: -len(b"go\0")]
    one.release()
    assert one.process.wait(timeout=30) == 0
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "released").exists()


def test_the_exit_status_is_on_disk(tmp_path: Path) -> None:
    one = Started(tmp_path, ["sh", "-c", "echo seen; echo also >&2; exit 7"])
    one.release()
    assert one.facts()["exit_status"] == 7
    assert (tmp_path / "log").read_text() == "seen\nalso\n"


@pytest.mark.parametrize("inner", ["kill -9 $$", "sh -c 'kill -9 $$'; exit 137"])
def test_a_killed_job_is_a_signal(tmp_path: Path, inner: str) -> None:
    one = Started(tmp_path, ["sh", "-c", inner])
    one.release()
    assert one.facts()["exit_status"] == -signal.SIGKILL


def test_a_command_that_is_not_there_is_said_in_the_log(tmp_path: Path) -> None:
    one = Started(tmp_path, ["/no/such/program"])
    one.release()
    assert one.facts()["exit_status"] == 127
    assert "cannot start /no/such/program" in (tmp_path / "log").read_text()


def test_sigterm_ends_the_job_but_not_its_last_words(
    tmp_path: Path, end_all: list[Started]
) -> None:
    one = Started(tmp_path, ["sleep", "60"])
    end_all.append(one)
    one.release()
    children = Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children")
    while not children.read_text():
        time.sleep(0.01)
    one.process.send_signal(signal.SIGTERM)
    # The holder may have been quicker, if it had not yet started to wait.
    subprocess.run(["pkill", "-TERM", "-P", str(one.process.pid)], check=False)
    facts = one.facts()
    assert facts["exit_status"] == -signal.SIGTERM
    assert facts["terminated"] is True


def test_sigterm_at_the_gate_does_not_open_it(tmp_path: Path, end_all: list[Started]) -> None:
    one = Started(tmp_path, ["touch", str(tmp_path / "ran")])
    end_all.append(one)
    one.wait_for("holder.json")
    one.process.send_signal(signal.SIGTERM)
    one.abandon()
    assert one.process.wait(timeout=30) == 0
    assert not (tmp_path / "ran").exists()


def test_a_stop_while_the_job_is_being_started_does_not_miss_it(
    tmp_path: Path, end_all: list[Started]
) -> None:
    one = Started(tmp_path, ["sleep", "60"])
    end_all.append(one)
    one.wait_for("holder.json")
    one.process.send_signal(signal.SIGTERM)
    one.release()
    assert one.facts()["exit_status"] == -signal.SIGTERM


def test_the_probe_runs_only_after_success(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    for directory, status in ((good, "0"), (bad, "1")):
        directory.mkdir()
        one = Started(directory, ["sh", "-c", f"exit {status}"], ["echo", "{}"])
        one.release()
        one.facts()
    assert (good / "probe.json").read_text() == "{}\n"
    assert not (bad / "probe.json").exists()


def test_a_stop_while_the_output_is_probed_is_no_verdict_on_it(
    tmp_path: Path, end_all: list[Started]
) -> None:
    one = Started(tmp_path, ["true"], ["sleep", "60"])
    end_all.append(one)
    one.release()
    one.wait_for("probe.json")
    one.process.send_signal(signal.SIGTERM)
    # The holder may have been quicker, if it had not yet started to wait.
    subprocess.run(["pkill", "-TERM", "-P", str(one.process.pid)], check=False)
    facts = one.facts()
    assert (facts["exit_status"], facts["terminated"]) == (-signal.SIGTERM, True)


def test_a_probe_that_fails_is_a_verdict(tmp_path: Path) -> None:
    for number, command in enumerate((["sh", "-c", "echo {; exit 1"], ["/no/such/program"])):
        directory = tmp_path / str(number)
        directory.mkdir()
        one = Started(directory, ["true"], command)
        one.release()
        assert one.facts()["exit_status"] == 0
        assert (directory / "probe.json").exists()


def test_an_output_that_cannot_be_brought_to_the_disk_is_no_success(tmp_path: Path) -> None:
    one = Started(tmp_path, ["echo", "encoded"], ["echo", "{}"], [holder.SINK])
    one.release()
    assert one.facts()["exit_status"] == holder.NOT_STORED
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == ["encoded", "[error] output: No such file or directory"]
    assert not (tmp_path / "probe.json").exists()
    outcome = conclude(Facts(holder.NOT_STORED, "success", stderr_tail=tuple(lines)))
    assert outcome.reason is Reason.OUTPUT_ERROR


def test_what_reads_the_output_has_not_the_input(tmp_path: Path) -> None:
    look = ["sh", "-c", "ls /proc/self/fd"]
    for number in (holder.SOURCE, holder.SINK):
        os.dup2(os.open(tmp_path, os.O_PATH), number)
    try:
        one = Started(tmp_path, look, look, [holder.SOURCE, holder.SINK])
    finally:
        os.close(holder.SOURCE)
        os.close(holder.SINK)
    one.release()
    one.facts()
    assert {"100", "101"} <= set((tmp_path / "log").read_text().split())
    seen = set((tmp_path / "probe.json").read_text().split())
    assert ("100" in seen, "101" in seen) == (False, True)


def test_an_endless_log_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    script = "import sys\nfor n in range(1200000): sys.stdout.write(f'line {n}\\n')"
    one = Started(tmp_path, [sys.executable, "-c", script])
    one.release()
    assert one.facts()["exit_status"] == 0
    text = (tmp_path / "log").read_text()
    assert text.startswith("line 0\n")
    assert text.endswith("line 1199999\n")
    assert "bytes left out" in text
    journal = (tmp_path / "journal").read_text()
    assert journal.startswith("line 0\n")
    assert journal.endswith("line 1199999\n")
    assert len(text) < holder.LOG_BYTES + holder.TAIL_BYTES + 100_000 < LOG_MAX_BYTES
