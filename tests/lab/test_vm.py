"""The VM back end: every limit is in force, whatever the host is."""

from pathlib import Path

import pytest
from lab.errors import BootError
from lab.machine import Machine, boot

from lab import base, layers, spec
from lab import vm as back_end

pytestmark = [pytest.mark.lab, pytest.mark.vm]


def test_all_four_controllers_are_there(vm: Machine) -> None:
    assert vm.enforced == {"cpu", "memory", "pids", "io"}
    assert vm.run("systemctl is-system-running").stdout == "running\n"


def test_limits_of_a_scope_are_in_force(vm: Machine) -> None:
    limits = "-p CPUQuota=30% -p MemoryMax=64M -p TasksMax=33 -p IOWeight=77"
    script = "cd /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup) && cat cpu.max memory.max pids.max"
    vm.write("/root/show", f"{script} && grep -o '77$' io.weight\n")
    done = vm.run(f"systemd-run --quiet --scope {limits} sh /root/show", check=True)
    assert done.stdout.split() == ["30000", "100000", str(64 * 2**20), "33", "77"]


def test_memory_beyond_the_limit_is_fatal(vm: Machine) -> None:
    greedy = "python3 -c 'x = bytearray(200 << 20)'"
    done = vm.run(f"systemd-run --quiet --scope -p MemoryMax=48M -p MemorySwapMax=0 {greedy}")
    assert done.returncode in (-9, 137)


def test_commands_and_files(vm: Machine, tmp_path: Path) -> None:
    data = bytes(range(256)) * 8_000
    (tmp_path / "data").write_bytes(data)
    vm.push(tmp_path / "data", "/root/data")
    vm.pull("/root/data", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data
    assert vm.run(["wc", "-c"], stdin=data).stdout == f"{len(data)}\n"
    assert vm.run("exit 5").returncode == 5


def test_a_timeout_leaves_the_machine_usable(vm: Machine) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError), vm.popen("yes") as command:
            for _part in command.events(timeout_seconds=0.5):
                pass
    vm.wait_until("! pgrep -x yes", timeout=20)
    assert vm.run("echo fine").stdout == "fine\n"


def test_a_power_cut_keeps_what_was_synced() -> None:
    with boot("bookworm", "vm") as machine:
        machine.write("/root/synced", "yes")
        machine.run(["sync", "/root/synced", "/root"], check=True)
        machine.run("sleep 600 & echo lost >/root/not-synced")
        machine.power_cut()
        assert machine.read("/root/synced") == "yes"
        assert machine.run("pgrep -x sleep").returncode == 1


def test_a_kernel_that_dies_is_tried_again_and_then_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = layers.disk("bookworm", ())
    root = base.obtain("bookworm")
    kernel, _ = base.kernel(root.path)
    # Without an initial ramdisk that knows the disk it panics for want of a root.
    empty = tmp_path / "initrd"
    empty.write_bytes(bytes(512))
    made = spec.make("bookworm", "vm", disk=disk.path, kernel=kernel, initrd=empty)
    with Machine(made, [disk.lock, root.lock]) as machine:
        made.save()
        back_end.prepare(made)
        with pytest.raises(BootError, match="Unable to mount root"):
            machine.start()
    assert "try 3 of 3" in capsys.readouterr().err
