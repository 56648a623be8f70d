"""What a process in the sandbox can see and do, as root and as a user without rights."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffmpeg_worker.sandbox import HOST_NAME, JOB, SCRATCH_BYTES, Bind, sandboxed
from ffmpeg_worker.syscalls import filter_descriptor
from tests.media_runs.conftest import in_sandbox

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
    return in_sandbox(["sh", "-c", script], binds, user, network=network)


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
    assert Path(str(binds[1].source)).read_text() == "precious"


ASK = """
import ctypes, errno, socket, sys, threading
call = ctypes.CDLL(None, use_errno=True).syscall
def ask(number, *words):
    ctypes.set_errno(0)
    result = call(number, *map(ctypes.c_long, words))
    return "done" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def connect(family, kind, protocol=0):
    try:
        socket.socket(family, kind, protocol).close()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]
def thread():
    one = threading.Thread(target=lambda: None)
    one.start()
    one.join()
    return "done"
for words in sys.argv[1:]:
    print(eval(words))
"""
#: Numbers of x86-64; what is asked, and the answer. Unfiltered, an account without rights in a
#: user namespace of its own gets another answer, or all of it.
REFUSED = {
    "ask(165, 0, 0, 0, 0, 0)": "EPERM",  # mount
    "ask(442, -1, 0, 0, 0, 0)": "EPERM",  # mount_setattr
    "ask(430, 0, 0)": "EPERM",  # fsopen
    "ask(161, 0)": "EPERM",  # chroot
    "ask(272, 0x10000000)": "EPERM",  # unshare(CLONE_NEWUSER)
    "ask(272, 0)": "EPERM",  # unshare of nothing
    "ask(56, 0x10000000 | 17, 0, 0, 0, 0)": "EPERM",  # clone(CLONE_NEWUSER)
    "ask(435, 0, 0)": "ENOSYS",  # clone3
    "ask(308, -1, 0)": "EPERM",  # setns
    "ask(425, 1, 0)": "ENOSYS",  # io_uring_setup
    "ask(321, 99, 0, 0)": "EPERM",  # bpf
    "ask(323, 1)": "EPERM",  # userfaultfd(UFFD_USER_MODE_ONLY)
    "ask(248, 0, 0, 0, 0, 0)": "EPERM",  # add_key
    "ask(250, 0, -3, 0)": "EPERM",  # keyctl
    "ask(249, 0, 0, 0, 0)": "EPERM",  # request_key
    "ask(101, 0, 0, 0, 0)": "EPERM",  # ptrace(PTRACE_TRACEME)
    "ask(310, 1, 0, 0, 0, 0, 0)": "EPERM",  # process_vm_readv
    "ask(298, 0, 0, -1, -1, 0)": "EPERM",  # perf_event_open
    "ask(246, 0, 0, 0, 0)": "EPERM",  # kexec_load
    "ask(175, 0, 0, 0)": "EPERM",  # init_module
    "ask(313, -1, 0, 0)": "EPERM",  # finit_module
    "ask(170, 0, 0)": "EPERM",  # sethostname
    "ask(16, 0, 0x5412, 0)": "EPERM",  # ioctl(TIOCSTI)
    "ask(16, 0, 0x1_0000_5412, 0)": "EPERM",  # the kernel looks at the lower half
    "connect(socket.AF_UNIX, socket.SOCK_STREAM)": "EAFNOSUPPORT",
    "connect(socket.AF_PACKET, socket.SOCK_DGRAM)": "EAFNOSUPPORT",
    "connect(socket.AF_VSOCK, socket.SOCK_STREAM)": "EAFNOSUPPORT",
    "connect(socket.AF_ALG, socket.SOCK_SEQPACKET)": "EAFNOSUPPORT",
    "connect(socket.AF_CAN, socket.SOCK_RAW, 1)": "EAFNOSUPPORT",
    "connect(socket.AF_NETLINK, socket.SOCK_RAW, 16)": "EPROTONOSUPPORT",  # NETLINK_GENERIC
    "connect(socket.AF_NETLINK, socket.SOCK_RAW, 12)": "EPROTONOSUPPORT",  # NETLINK_NETFILTER
}
GRANTED = {
    "connect(socket.AF_INET, socket.SOCK_STREAM)": "done",
    "connect(socket.AF_INET6, socket.SOCK_DGRAM)": "done",
    "connect(socket.AF_NETLINK, socket.SOCK_RAW, 0)": "done",
    "socket.gethostname()": HOST_NAME,
    "ask(39) != 'ENOSYS'": "True",  # getpid
    "ask(16, 0, 0x5401, 0)": "ENOTTY",  # ioctl(TCGETS)
    "__import__('os').waitpid(__import__('os').fork() or __import__('os')._exit(3), 0)[1]": "768",
    "thread()": "done",
}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86-64")
def test_a_job_asks_the_kernel_in_vain(binds: list[Bind], user: tuple[str, ...]) -> None:
    asked = REFUSED | GRANTED
    done = in_sandbox(["python3", "-c", ASK, *asked], binds, user, network=False)
    assert done.returncode == 0, done.stderr
    assert dict(zip(asked, done.stdout.splitlines(), strict=True)) == asked


def test_scratch_room_has_an_end(binds: list[Bind]) -> None:
    """Of a tmpfs without one half the machine's memory could be filled, and /dev is one too."""
    script = "df --output=size -B1 /tmp /dev/shm | tail -n +2"
    sizes = in_sandbox(["sh", "-c", script], binds, network=False, devices=["/dev/null"]).stdout
    assert set(sizes.split()) == {str(SCRATCH_BYTES)}
    assert "Read-only" in run("echo x > /dev/x", binds).stderr
    assert run("echo x > /dev/null", binds).returncode == 0


def test_a_job_inherits_nothing_that_is_open(binds: list[Bind]) -> None:
    assert run("ls /proc/self/fd", binds).stdout.split() == ["0", "1", "2", "3"]  # 3 is ls's own


def test_a_job_with_a_device_finds_out_what_it_is(binds: list[Bind], user: tuple[str, ...]) -> None:
    """And no more of /sys than that, and nothing to write. /dev/null stands for a GPU."""
    script = "ls -d /sys/* /sys/dev/char/1:3/; ! touch /sys/devices/x 2>/dev/null"
    done = in_sandbox(["sh", "-c", script], binds, user, network=False, devices=["/dev/null"])
    assert done.returncode == 0, done.stderr
    found = set(done.stdout.split())
    assert found >= {"/sys/dev/char/1:3/", "/sys/dev", "/sys/devices"}
    assert not found & {"/sys/fs", "/sys/kernel", "/sys/firmware", "/sys/block", "/sys/power"}


def test_a_stream_has_the_network_and_no_name_server(binds: list[Bind]) -> None:
    """It knows the names that the worker looked up for it."""
    ours = Path("/proc/net/dev").read_text().count(":")
    done = run("cat /proc/net/dev; ls /etc", binds, network=True)
    assert done.stdout.count(":") == ours
    assert "resolv.conf" not in done.stdout
    assert "passwd" not in done.stdout


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("kill -9 $$", 128 + 9)])
def test_how_it_ended_is_passed_on(script: str, status: int, binds: list[Bind]) -> None:
    assert run(f"({script})", binds).returncode == status


def test_no_process_is_left_when_its_parent_is_killed(binds: list[Bind]) -> None:
    script = f"echo > {JOB}/up; exec sleep 4242"
    with filter_descriptor() as filtering:
        argv = sandboxed(["sh", "-c", script], binds, network=False, filter_descriptor=filtering)
        parent = subprocess.Popen(["sh", "-c", '"$@"; true', "sh", *argv], pass_fds=[filtering])
    up = Path(str(binds[0].source)) / "up"
    while not up.exists():
        assert parent.poll() is None
        time.sleep(0.01)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    left = ["pgrep", "-f", "sleep 4242"]
    while subprocess.run(left, stdout=subprocess.DEVNULL, check=False).returncode == 0:
        time.sleep(0.01)
