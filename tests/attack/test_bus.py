"""An ordinary account, and root by mistake, sends to the worker and its launcher by D-Bus what
nobody should have to bear: they go on, and no job ends by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.farm import Farm, worker_with

pytestmark = pytest.mark.lab

WEAR_OUT = Path(__file__).parent / "guest/wear_out.py"
#: With its pid: of the worker, of the launcher.
MAIN_PID = "systemctl show -P MainPID {unit}"
#: Who sends: the bus's policy is for all but root, and what it lets through is ours to bear.
SENDERS = ("joe", "root")


def attack(farm: Farm, sender: str, *words: str) -> int:
    """Attack as that account; what the program counts."""
    farm.run("id joe || useradd joe")
    farm.machine.push(WEAR_OUT, "/usr/local/share/wear_out.py")
    user = None if sender == "root" else sender
    command = ["/usr/bin/python3", "/usr/local/share/wear_out.py", *words]
    return int(farm.run(command, user=user).stdout)


def main_pid(farm: Farm, unit: str) -> str:
    return farm.run(MAIN_PID.format(unit=unit)).stdout.strip()


def connections(farm: Farm, pid: str) -> list[str]:
    """The names on the bus that a process has."""
    rows = farm.run("busctl list --unique --no-legend").stdout.splitlines()
    return [row.split()[0] for row in rows if row.split()[1] == pid]


def launcher(farm: Farm) -> str:
    """Its pid; it is started if need be."""
    farm.run(
        "busctl call org.ffmpeg_worker.Launcher1 /org/ffmpeg_worker/Launcher1"
        " org.freedesktop.DBus.Introspectable Introspect >/dev/null"
    )
    return main_pid(farm, "ffmpeg-worker-launcher")


def encodes(farm: Farm) -> None:
    """A job goes through, at the first try."""
    job = farm.submit("--scenario", "preview", "--duration", "1")
    ended = farm.wait_for(job)
    assert (ended["state"], ended["attempt"]) == ("completed", 1), ended


@pytest.mark.parametrize("sender", SENDERS)
def test_descriptors_do_not_stay_with_the_launcher(container: Farm, sender: str) -> None:
    pid = launcher(container)
    count = f"ls /proc/{pid}/fd | wc -l"
    before = int(container.run(count).stdout)
    assert attack(container, sender, "descriptors", "org.ffmpeg_worker.Launcher1") >= 400
    assert int(container.run(count).stdout) <= before
    assert main_pid(container, "ffmpeg-worker-launcher") == pid
    encodes(container)


@pytest.mark.parametrize("sender", SENDERS)
def test_a_large_message_costs_nobody_his_life(container: Farm, sender: str) -> None:
    worker = main_pid(container, "ffmpeg-worker")
    encodes(container)  # it has a connection from then on
    own, pid = connections(container, worker), launcher(container)
    assert own
    for name in (*own, "org.ffmpeg_worker.Launcher1") * 3:
        attack(container, sender, "large", name)
    encodes(container)
    assert main_pid(container, "ffmpeg-worker") == worker
    assert connections(container, worker) == own
    assert main_pid(container, "ffmpeg-worker-launcher") == pid
    peak = container.run(f"grep VmHWM /proc/{pid}/status").stdout.split()[1]
    assert int(peak) < 100_000  # KiB; the message alone has 30_720


@pytest.mark.parametrize("sender", SENDERS)
def test_nobody_speaks_for_systemd(container: Farm, sender: str) -> None:
    with worker_with(container, max_concurrent_jobs=2):
        speak_for_systemd(container, sender)


def speak_for_systemd(container: Farm, sender: str) -> None:
    long = container.submit("--scenario", "preview", "--duration", "3600", "--cpu", "10")
    encoder = container.started(long)
    pid = launcher(container)
    names = [*connections(container, main_pid(container, "ffmpeg-worker"))]
    names += connections(container, pid)
    assert len(names) >= 2
    for name in names:
        attack(container, sender, "forged", name, f"ffmpeg-job-{long}.scope")
    encodes(container)
    assert container.started(long) == encoder
    shown = container.job(long)
    assert (shown["state"], shown["attempt"]) == ("running", 1)
    # And systemd is heard: the end of the scope is seen.
    container.end(long)


def test_a_launcher_that_is_out_of_descriptors_costs_no_job_its_end(container: Farm) -> None:
    """It is asked again, and a launcher that starts afresh does it: that was never the job's."""
    pid = launcher(container)
    since = container.run("date +%s").stdout.strip()
    most = container.run(f"ls /proc/{pid}/fd | sort -n | tail -1").stdout.strip()
    container.run(f"prlimit --pid {pid} --nofile={int(most) + 1}:{int(most) + 1}")
    job = container.submit("--scenario", "preview", "--duration", "1")
    told = f"journalctl --since @{since} -o cat -u ffmpeg-worker-launcher"
    container.machine.wait_until(f"{told} | grep -q 'method=StartJob'", timeout=60, interval=0.2)
    container.run(f"kill -KILL {pid}")
    ended = container.wait_for(job)
    assert (ended["state"], ended["attempt"]) == ("completed", 1), ended
