"""What a process in the sandbox can see and do, as root and as a user without rights."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffmpeg_worker.sandbox import JOB, Bind, sandboxed

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs")
USERS: dict[str, tuple[str, ...]] = {"ourselves": (), "nobody": NOBODY}


@pytest.fixture(params=USERS)
def user(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The words that make a command run as that user."""
    if request.param == "nobody" and os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    return USERS[request.param]


@pytest.fixture
def binds() -> Iterator[list[Bind]]:
    """A job's own directory and its input, which the sandbox alone protects."""
    # Not tmp_path, which is closed to other users.
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "work").mkdir()
        (directory / "work").chmod(0o777)
        (directory / "input").write_text("precious")
        (directory / "input").chmod(0o666)
        yield [
            Bind(str(directory / "work"), JOB, writable=True),
            Bind(str(directory / "input"), "/input"),
        ]


def run(
    script: str, binds: list[Bind], user: tuple[str, ...] = (), *, network: bool = False
) -> subprocess.CompletedProcess[str]:
    argv = sandboxed(["sh", "-c", script], binds, network=network)
    return subprocess.run([*user, *argv], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "script",
    [
        "ffmpeg -version",
        "ffprobe -version",
        f"echo result > {JOB}/progress",
        "cat /input",
        "echo scratch > /tmp/x && cat /tmp/x",
        f'test "$HOME $TMPDIR $PWD" = "{JOB} {JOB} {JOB}"',
    ],
)
def test_what_a_job_needs(script: str, binds: list[Bind], user: tuple[str, ...]) -> None:
    done = run(script, binds, user)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "script",
    [
        "ls /etc/passwd",
        "ls /etc/ffmpeg-worker",
        "ls /run",
        "ls /var",
        "ls /home",
        "ls /root",
        "ls /sys",
        "ls /dev/sda /dev/vda /dev/kvm /dev/mem",
        "touch /usr/bin/x",
        "touch /x",
        "echo spoilt > /input",
        "mount -t tmpfs none /usr",
        "grep -v lo: /proc/net/dev | grep :",
        "env | grep -v '^PATH=\\|^LANG=\\|^HOME=\\|^TMPDIR=\\|^PWD=\\|^_=\\|^SHLVL=\\|^OLDPWD='",
        "test $(ls -d /proc/[0-9]* | wc -l) -gt 5",
        "grep -v '0000000000000000$' /proc/self/status | grep ^Cap",
    ],
)
def test_what_a_job_cannot(script: str, binds: list[Bind], user: tuple[str, ...]) -> None:
    done = run(script, binds, user)
    assert done.returncode != 0, done.stdout
    assert not done.stderr.startswith("bwrap:"), done.stderr
    assert Path(binds[1].source).read_text() == "precious"


def test_a_job_with_a_device_finds_out_what_it_is(binds: list[Bind], user: tuple[str, ...]) -> None:
    """And no more of /sys than that, and nothing to write. /dev/null stands for a GPU."""
    script = "ls -d /sys/* /sys/dev/char/1:3/; ! touch /sys/devices/x 2>/dev/null"
    argv = sandboxed(["sh", "-c", script], binds, network=False, devices=["/dev/null"])
    done = subprocess.run([*user, *argv], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = set(done.stdout.split())
    assert found >= {"/sys/dev/char/1:3/", "/sys/dev", "/sys/devices"}
    assert not found & {"/sys/fs", "/sys/kernel", "/sys/firmware", "/sys/block", "/sys/power"}


def test_a_stream_has_the_network_and_names(binds: list[Bind]) -> None:
    ours = Path("/proc/net/dev").read_text().count(":")
    done = run("cat /proc/net/dev; ls /etc", binds, network=True)
    assert done.stdout.count(":") == ours
    if Path("/etc/resolv.conf").exists():
        assert "resolv.conf" in done.stdout
    assert "passwd" not in done.stdout


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("kill -9 $$", 128 + 9)])
def test_how_it_ended_is_passed_on(script: str, status: int, binds: list[Bind]) -> None:
    assert run(f"({script})", binds).returncode == status


def test_no_process_is_left_when_its_parent_is_killed(binds: list[Bind]) -> None:
    argv = sandboxed(["sh", "-c", f"echo > {JOB}/up; exec sleep 4242"], binds, network=False)
    parent = subprocess.Popen(["sh", "-c", '"$@"; true', "sh", *argv])
    up = Path(binds[0].source) / "up"
    while not up.exists():
        assert parent.poll() is None
        time.sleep(0.01)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    left = ["pgrep", "-f", "sleep 4242"]
    while subprocess.run(left, stdout=subprocess.DEVNULL, check=False).returncode == 0:
        time.sleep(0.01)
