"""The key of a stream is read by nobody: not in the process list, nor in any log."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Claim, Job
from ffmpeg_worker import holder
from ffmpeg_worker.plan import make_plan, opening
from tests.unit.test_plan import CONFIG

KEY, SIGNATURE = "live_s3cretkey", "sig-0123456789"
URL = f"rtmp://ann:passw0rd@live.example/app/{KEY}?auth={SIGNATURE}"
SHORT = "rtmp://in.example/live/k1"
SECRETS = (KEY, SIGNATURE, "passw0rd", "/live/k1")

#: Speaks as ffmpeg does, in pieces that end where its buffers do.
SPEAKER = """
import sys, time
for piece in sys.argv[1:]:
    sys.stdout.write(piece)
    sys.stdout.flush()
    time.sleep(0.002)
"""


def said(directory: Path, *pieces: str) -> tuple[str, str]:
    """What is in the log, and in the journal, after a job with these URLs said this."""
    (directory / holder.FILTER).touch()
    claim = Claim("a" * 12, 1, "t" * 32, 60.0, Job(input=SHORT, output=URL))
    plan = make_plan(claim, replace(CONFIG, state_directory=directory))
    run = (sys.executable, "-c", SPEAKER, *pieces)
    command = [sys.executable, "-I", "-S", holder.__file__, str(directory)]
    message = opening(replace(plan, run=run, probe=None))
    done = subprocess.run(command, input=message, capture_output=True, timeout=60, check=True)
    return (directory / "log").read_text(), done.stderr.decode()


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_what_ffmpeg_quotes_is_hidden_wherever_it_is_cut(tmp_path: Path, size: int) -> None:
    text = f"Opening {URL}\n[rtmp] {KEY}: BadName\n[error] {SHORT}: refused\nno end {KEY}"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    log, journal = said(tmp_path, *pieces)
    assert [secret for secret in SECRETS if secret in log] == []
    assert log.startswith("Opening rtmp://…@live.example/app/…")
    assert log.endswith("refused\nno end …")
    assert journal == log


def test_a_line_without_end_hides_it_too(tmp_path: Path) -> None:
    log, _ = said(tmp_path, "x" * 60_000, "x" * 60_000 + KEY[:5], KEY[5:] + "y" * 60_000)
    assert KEY not in log
    assert log == "x" * 120_000 + "…" + "y" * 60_000


def test_the_key_is_in_no_command_line(tmp_path: Path) -> None:
    claim = Claim("a" * 12, 1, "t" * 32, 60.0, Job(output=URL))
    plan = make_plan(claim, replace(CONFIG, state_directory=tmp_path))
    words = "\0".join((*plan.run, *(plan.probe or ())))
    assert KEY not in words
    assert SIGNATURE not in words
