"""What a daemon says to systemd and to the journal, each in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

LOG = """
import structlog
from ffmpeg_jobs.daemon import set_up_journal, set_up_logging
set_up_logging({level!r})
log = structlog.get_logger()
log.debug("tried")
log.info("job_claimed", job="abc", worker="w 1", live=False)
log.error("job_lost")
"""


def run(script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    inherited = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**inherited, **environ},
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_journal_gets_priorities_and_no_time_of_its_own() -> None:
    lines = run(LOG.format(level="info"), JOURNAL_STREAM="8:1").stderr.splitlines()
    assert lines == [
        '<6>event=job_claimed job=abc worker="w 1" live=false level=info',
        "<3>event=job_lost level=error",
    ]


def test_a_command_tells_the_journal_and_nobody_else() -> None:
    done = run(LOG.format(level="info").replace("set_up_logging('info')", "set_up_journal()"))
    assert (done.stdout, done.stderr) == ("", "")


def test_a_file_gets_the_time() -> None:
    first = run(LOG.format(level="info")).stderr.splitlines()[0]
    assert first.startswith("event=job_claimed")
    assert " timestamp=20" in first


def test_a_traceback_stays_readable_and_begins_no_line_of_ours() -> None:
    script = LOG.format(level="error") + (
        "try:\n    raise ValueError('a\\n<6>event=forged\\x1b')\n"
        "except ValueError:\n    log.exception('broken')\n"
    )
    lines = run(script, JOURNAL_STREAM="8:1").stderr.splitlines()
    assert [line for line in lines if line.startswith("<")][1].startswith("<3>event=broken")
    assert not [line for line in lines if line.startswith(("<6>", "event="))]
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(("level", "lines"), [("debug", 3), ("info", 2), ("error", 1)])
def test_only_what_is_asked_for_is_logged(level: str, lines: int) -> None:
    assert len(run(LOG.format(level=level)).stderr.splitlines()) == lines


def test_systemd_hears_states(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(10)
        script = "from ffmpeg_jobs.daemon import tell_systemd as t; t(READY=1, STATUS='here')"
        run(script, NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert ear.recv(4096) == b"READY=1\nSTATUS=here"


def test_without_systemd_nothing_is_said() -> None:
    run("from ffmpeg_jobs.daemon import tell_systemd; tell_systemd(READY=1)")


@pytest.mark.parametrize(("usec", "seconds"), [("30000000", "15.0"), ("", "None")])
def test_the_watchdog_is_fed_at_half_its_time(usec: str, seconds: str) -> None:
    environ = {"WATCHDOG_USEC": usec} if usec else {}
    script = "from ffmpeg_jobs.daemon import watchdog_seconds; print(watchdog_seconds())"
    assert run(script, **environ).stdout.strip() == seconds


def test_sockets_are_taken_over() -> None:
    script = (
        "import os; os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "from ffmpeg_jobs.daemon import inherited_sockets\n"
        "print([s.getsockname()[1] for s in inherited_sockets()], inherited_sockets())"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        shell = 'exec 3<&"$0"; exec "$@"'
        done = subprocess.run(
            ["/bin/bash", "-c", shell, str(listener.fileno()), sys.executable, "-c", script],
            env={"PYTHONPATH": os.pathsep.join(sys.path), "LISTEN_FDS": "1"},
            pass_fds=[listener.fileno()],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == f"[{listener.getsockname()[1]}] []"


def test_a_traceback_is_cut_to_its_ends() -> None:
    script = LOG.format(level="error") + (
        "try:\n    raise ValueError('x' * 3_000_000 + ' why')\n"
        "except ValueError:\n    log.exception('crashed')\n"
    )
    said = run(script, JOURNAL_STREAM="8:1").stderr
    assert len(said) < 17_000
    assert "Traceback" in said
    assert "characters left out" in said
    assert "x why" in said
