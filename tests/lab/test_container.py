"""The container back end, and what both back ends share: commands and files."""

import threading
import time
from pathlib import Path

import pytest
from lab.errors import CommandFailed, CommandTimeout, LabError, MachineGone
from lab.machine import Machine, boot

pytestmark = pytest.mark.lab
RELEASE = {"bookworm": "12", "trixie": "13"}


def test_it_is_the_debian_asked_for_with_systemd_in_charge(container: Machine) -> None:
    assert f'VERSION_ID="{RELEASE[container.suite]}"' in container.read("/etc/os-release")
    assert container.read("/proc/1/comm") == "systemd\n"
    assert container.run("systemctl is-system-running").stdout == "running\n"
    for service in ("dbus", "polkit", "systemd-journald"):
        container.run(["systemctl", "start", service], check=True)
    assert "lab-agent" in container.journal("lab-agent")


def test_a_transient_scope_can_be_made(container: Machine) -> None:
    done = container.run("systemd-run --scope --unit=lab-try cat /proc/self/cgroup", check=True)
    assert "/system.slice/lab-try.scope" in done.stdout


def test_status_and_both_outputs_come_back(container: Machine) -> None:
    done = container.run("echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert container.run(["sh", "-c", "kill -9 $$"]).returncode == -9
    assert container.run(["no-such-command"]).returncode == 127
    with pytest.raises(CommandFailed, match=r"exit status 3: exit 3"):
        container.run("exit 3", check=True)


def test_a_list_is_run_as_it_is(container: Machine) -> None:
    assert container.run(["echo", "a  b", "$HOME"]).stdout == "a  b $HOME\n"


def test_environment_directory_and_user(container: Machine) -> None:
    done = container.run("echo $NOTE; pwd; id -un", env={"NOTE": "x"}, cwd="/tmp", user="nobody")
    assert done.stdout == "x\n/tmp\nnobody\n"


def test_standard_input_arrives_whole(container: Machine) -> None:
    data = bytes(range(256)) * 20_000
    assert container.run(["cat"], stdin=data).output == data
    # One that does not read its input must not hang.
    assert container.run(["true"], stdin=data).returncode == 0


def test_timeout_kills_the_command_with_its_children(container: Machine) -> None:
    started = time.monotonic()
    with pytest.raises(CommandTimeout, match="begun"):
        container.run("echo begun; sleep 4242 & sleep 4243", timeout=1)
    assert time.monotonic() - started < 5
    container.wait_until("! pgrep -f 'sleep 424[23]'", timeout=5)


def test_a_daemon_left_behind_does_not_hold_the_command(container: Machine) -> None:
    started = time.monotonic()
    assert container.run("setsid sleep 60 & echo done").stdout == "done\n"
    assert time.monotonic() - started < 5


def test_output_comes_while_the_command_runs(container: Machine) -> None:
    arrived = []
    with container.popen("echo first; read line; echo $line", stdin=True) as command:
        for stream, part in command.events(timeout_seconds=10):
            arrived.append((stream, part))
            if part == b"first\n":
                command.write(b"second\n")
    assert arrived == [("stdout", b"first\n"), ("stdout", b"second\n")]


def test_many_commands_at_once(container: Machine) -> None:
    results: list[str] = []
    threads = [
        threading.Thread(
            target=lambda n=n: results.append(container.run(f"sleep 0.2; echo {n}").stdout)
        )
        for n in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(f"{n}\n" for n in range(30))


def test_files_go_in_and_out_unharmed(container: Machine, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep/data").write_bytes(bytes(range(256)) * 5_000)
    (tree / "script").write_text("#!/bin/sh\necho ran\n")
    (tree / "script").chmod(0o750)
    container.push(tree, "/srv/new/there")
    assert container.run("/srv/new/there/script").stdout == "ran\n"
    container.pull("/srv/new/there", tmp_path / "back")
    assert (tmp_path / "back/deep/data").read_bytes() == (tree / "deep/data").read_bytes()
    assert (tmp_path / "back/script").stat().st_mode & 0o777 == 0o750
    container.pull("/srv/new/there/script", tmp_path / "one")
    assert (tmp_path / "one").read_text() == "#!/bin/sh\necho ran\n"
    container.write("/etc/a/b.conf", "text\n", mode=0o600)
    assert container.run("stat -c %a /etc/a/b.conf").stdout == "600\n"
    assert container.read("/etc/a/b.conf") == "text\n"


def test_what_is_not_there_is_told(container: Machine, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="no-such"):
        container.pull("/root/no-such", tmp_path / "x")
    with pytest.raises(LabError, match="does not exist"):
        container.push(tmp_path / "missing", "/root/x")


def test_a_reboot_keeps_the_disk(container: Machine) -> None:
    container.write("/root/kept", "yes")
    identity = container.read("/etc/machine-id")
    container.run("touch /run/forgotten")
    container.reboot()
    assert container.read("/root/kept") == "yes"
    assert container.read("/etc/machine-id") == identity
    assert container.run("test -e /run/forgotten").returncode == 1


def test_a_machine_that_ended_is_told_and_leaves_nothing() -> None:
    with boot("bookworm", "container") as machine:
        place, run = machine.spec.place, machine.spec.run
        with pytest.raises(MachineGone):
            machine.run("systemctl poweroff; sleep 60")
        with pytest.raises(MachineGone):
            machine.run("true")
    assert not place.exists()
    assert not run.exists()
    assert str(place) not in Path("/proc/mounts").read_text()
