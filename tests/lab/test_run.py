"""lab/run, as a person uses it."""

import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab
RUN = Path(__file__).resolve().parents[2] / "lab" / "run"


def lab(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(RUN), *arguments], check=False, input=stdin, capture_output=True, text=True
    )


def test_status_and_streams_pass_through() -> None:
    done = lab("--", "cat; echo err >&2; exit 7", stdin="hello")
    assert done.returncode == 7
    assert done.stdout == "hello"
    assert "err\n" in done.stderr
    assert "lab: booting" in done.stderr


def test_several_words_are_run_as_they_are() -> None:
    assert lab("--suite", "trixie", "--", "echo", "a  b", "$HOME").stdout == "a  b $HOME\n"


def test_a_signal_and_a_timeout_have_their_status() -> None:
    assert lab("--", "kill -9 $$").returncode == 137
    assert lab("--timeout", "1", "--", "sleep", "60").returncode == 124


def test_a_fault_of_the_lab_has_its_own_status() -> None:
    done = lab("--deb", "/no/such.deb", "--", "true")
    assert done.returncode == 125
    assert "no such package" in done.stderr


def test_files_in_and_out(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("abc")
    copies = ["--copy-in", f"{tmp_path}/in:/root/in", "--copy-out", f"/root/out:{tmp_path}/out"]
    assert lab(*copies, "--", "tr a-z A-Z </root/in >/root/out").returncode == 0
    assert (tmp_path / "out").read_text() == "ABC"


def test_a_kept_machine_is_listed_entered_and_stopped() -> None:
    try:
        kept = lab("--keep", "--name", "lab-test-kept")
        assert kept.returncode == 0
        assert "lab/run --enter lab-test-kept" in kept.stderr
        assert "lab-test-kept" in lab("--list").stdout
        assert lab("--enter", "lab-test-kept", "--", "hostname").stdout == "lab-test-kept\n"
        again = lab("--name", "lab-test-kept", "--", "true")
        assert (again.returncode, "is running" in again.stderr) == (125, True)
    finally:
        assert lab("--stop", "lab-test-kept").returncode == 0
    assert "lab-test-kept" not in lab("--list").stdout
    assert lab("--enter", "lab-test-kept", "--", "true").returncode == 125


def test_a_terminal_is_a_terminal() -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(str(RUN), [str(RUN), "--", "tty && stty size && read x && echo got $x"])
    written = b""
    answered = False
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            written += os.read(terminal, 4096)
        except OSError:  # it closed its end
            break
        if b"/dev/pts/" in written and not answered:
            os.write(terminal, b"yes\r")
            answered = True
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"got yes" in written


def test_a_terminated_run_leaves_nothing() -> None:
    name = "lab-test-ended"
    process = subprocess.Popen(
        [str(RUN), "--name", name, "--", "echo up; sleep 600"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert name not in lab("--list").stdout


def test_a_killed_run_is_swept_up_by_the_next() -> None:
    name = "lab-test-killed"
    process = subprocess.Popen(
        [str(RUN), "--name", name, "--", "echo up; sleep 600"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    assert f"throwing away {name}" in lab("--", "true").stderr
    assert name not in lab("--list").stdout
