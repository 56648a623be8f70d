"""The machine stays well: jobs keep to their disk, and dead ones leave nothing behind."""

from __future__ import annotations

import json
import re

import pytest

from tests.system.farm import Farm, worker_with

pytestmark = pytest.mark.lab

HEAVY = ("--duration", "3600", "--preset", "ultrafast", "--crf", "0")
HEALTH = "curl -sSf http://127.0.0.1:9091/health"


def own(farm: Farm, question: str) -> str:
    """The command that asks jq about the machine's own worker; a machine of the lab may also
    remember the one that its image was made by."""
    script = f".[] | select(.name == $own) | {question}"
    return f"{farm.ask('/workers')} | jq -ce --arg own $(hostname) '{script}'"


def test_a_job_over_its_disk_ends_and_frees_it(container: Farm) -> None:
    output = "/var/lib/ffmpeg-worker/output/too-large.mkv"
    flags = ("--disk", "40", "--max-attempts", "1", "--timeout", "600", "--output", output)
    ended = container.wait_for(container.submit("--scenario", "1080p-h264", *HEAVY, *flags))
    assert (ended["state"], ended["reason"]) == ("failed", "disk_full")
    told = r"stopped because it used [0-9]+ MB of disk, and its max_disk_mb is 40 MB; .*"
    assert re.fullmatch(told, ended["error"])
    left = "find /var/lib/ffmpeg-worker/output /var/lib/ffmpeg-worker/jobs -name '*too-large*'"
    assert container.run(left).stdout == ""


def test_the_worker_tells_what_is_free(container: Farm) -> None:
    # The last test's job is over, and its directory gone.
    idle = "select(.free | .slots > 0 and .cpu_percent == $cpu)"
    idle = f".machine.jobs_cpu_percent as $cpu | {idle}"
    worker = json.loads(container.machine.wait_until(own(container, idle), timeout=60).stdout)
    machine, free = worker["machine"], worker["free"]
    assert machine["jobs_cpu_percent"] == machine["cpus"] * 100
    assert machine["jobs_memory_mb"] == machine["memory_mb"] * 85 // 100
    job = container.submit(
        *("--scenario", "preview", "--duration", "3600", "--timeout", "600"),
        *("--cpu", "30", "--memory", "512", "--disk", "700"),
    )
    container.started(job)
    less = {"cpu_percent": 30, "memory_mb": 512, "slots": 1}
    left = " and ".join(f".{name} == {free[name] - part}" for name, part in less.items())
    container.machine.wait_until(own(container, f".free | {left}"))
    health = json.loads(container.run(HEALTH).stdout)
    assert health["free"]["slots"] == free["slots"] - 1
    assert set(health["pressure"]) == {"source", "cpu", "memory", "io"}
    metrics = container.run("curl -sSf http://127.0.0.1:9091/metrics").stdout.splitlines()
    assert f"free_slots {free['slots'] - 1}.0" in metrics
    container.end(job)


def test_who_asks_for_no_disk_gets_a_place_s_part_of_a_small_one(container: Farm) -> None:
    """Else the master would give jobs for both places, and the worker refuse the second."""
    with worker_with(container, max_concurrent_jobs=2, jobs_disk_mb=3000):
        flags = ("--scenario", "preview", "--duration", "3600", "--max-attempts", "1")
        first, second = container.submit(*flags), container.submit(*flags)
        container.started(first)
        container.started(second)
        container.machine.wait_until(own(container, ".free.disk_mb == 0"))
        container.end(first)
        container.machine.wait_until(own(container, ".free.disk_mb == 1500"))
        container.end(second)


def test_who_has_no_room_says_so_and_is_not_held_back_at_the_master(container: Farm) -> None:
    """Every slot is taken, and the second job waits."""
    with worker_with(container, max_concurrent_jobs=1):
        flags = ("--scenario", "preview", "--duration", "3600", "--timeout", "600", "--cpu", "30")
        first, second = container.submit(*flags), container.submit(*flags)
        container.started(first)
        why = "1 of 1 jobs run (max_concurrent_jobs)"
        container.machine.wait_until(own(container, ".free.slots == 0"))
        assert container.run(own(container, ".held_back == null")).returncode == 0
        assert container.job(second)["state"] == "queued"
        assert f"held back: {why}" in container.run("systemctl status ffmpeg-worker").stdout
        assert json.loads(container.run(HEALTH).stdout)["held_back"] == why
        container.end(first)
        container.started(second)
        container.end(second)


def test_the_timer_removes_what_dead_jobs_left_beside_a_running_worker(container: Farm) -> None:
    state, dead = "/var/lib/ffmpeg-worker", "aaaaaaaaaaaa.1"
    flags = ("--scenario", "preview", "--duration", "3600", "--timeout", "600", "--cpu", "30")
    job = container.submit(*flags, "--output", f"{state}/output/alive.mp4")
    container.started(job)
    uid = container.run("id -u ffmpeg-worker").stdout.strip()
    staging = f"{state}/output/.ffmpeg-worker-{uid}"
    alive = f"{staging}/.ffmpeg-job-{job}.1.part"
    gone = [f"{state}/jobs/{dead}", f"{staging}/.ffmpeg-job-{dead}.part"]
    foreign = f"{state}/output/.theirs.mp4.ffmpeg-job-{dead}.part"
    long_ago = f"touch -d '31 days ago' {' '.join(gone)} {alive}"
    make = f"mkdir {gone[0]} && touch {gone[1]} && {long_ago}"
    container.run(["sh", "-c", make], user="ffmpeg-worker")
    container.run(f"touch -d '31 days ago' {foreign}")
    container.run("systemctl start ffmpeg-worker-clean.service")
    said = container.run("journalctl -o cat -u ffmpeg-worker-clean.service").stdout
    assert [path for path in gone if f"removed {path}\n" not in said] == []
    assert container.run(["ls", "-d", *gone], check=False).stdout == ""
    container.run(["ls", alive, foreign])
    container.run(f"rm {foreign}")
    container.end(job)
    assert "ffmpeg-worker-clean" in container.run("systemctl list-timers").stdout


def test_a_worker_that_starts_removes_them_too(container: Farm) -> None:
    state, dead = "/var/lib/ffmpeg-worker", "aaaaaaaaaaaa.1"
    gone = f"{state}/jobs/{dead} {state}/output/.film.mp4.ffmpeg-job-{dead}.part"
    first, second = gone.split()
    make = f"mkdir {first}; touch {second}; touch -d '31 days ago' {second}"
    container.run(["sh", "-c", make], user="ffmpeg-worker")
    container.run("systemctl restart ffmpeg-worker")
    container.machine.wait_until(f"! ls -d {first} && ! ls {second}")


SLICE = "/sys/fs/cgroup/ffmpeg.slice"


@pytest.mark.vm
def test_all_jobs_together_leave_the_system_its_share(vm: Farm) -> None:
    flags = ("--scenario", "preview", "--duration", "3600", "--timeout", "600", "--memory", "300")
    job = vm.submit(*flags, "--cpu", "30")
    vm.started(job)
    total = int(vm.run("awk '/MemTotal/ {print $2}' /proc/meminfo").stdout) * 1024
    caps = _caps(vm)
    assert (caps["cpu.weight"], caps["io.weight"]) == ("50", "default 50")
    assert int(caps["memory.high"]) == pytest.approx(total * 0.85, rel=0.01)
    assert int(caps["memory.max"]) == pytest.approx(total * 0.90, rel=0.01)
    # An operator's own caps count at once, also for what runs.
    vm.run("systemctl set-property ffmpeg.slice CPUQuota=150% MemoryMax=70%")
    caps = _caps(vm)
    assert caps["cpu.max"] == "150000 100000"
    assert int(caps["memory.max"]) == pytest.approx(total * 0.70, rel=0.01)
    vm.run("systemctl set-property ffmpeg.slice CPUQuota= MemoryMax=90%")
    assert _caps(vm)["cpu.max"] == "max 100000"
    vm.run("systemctl revert ffmpeg.slice")
    vm.end(job)


def _caps(vm: Farm) -> dict[str, str]:
    """What the kernel holds the slice to."""
    names = ("cpu.weight", "cpu.max", "io.weight", "memory.high", "memory.max")
    files = " ".join(f"{SLICE}/{name}" for name in names)
    return dict(zip(names, vm.run(f"cat {files}").stdout.splitlines(), strict=True))


@pytest.mark.vm
def test_pressure_holds_new_jobs_back_until_it_falls(vm: Farm) -> None:
    """A job that is held to a tenth of a core waits for most of its time."""
    with worker_with(vm, max_concurrent_jobs=2, cpu=30):
        flags = (
            "--scenario",
            "preview",
            "--duration",
            "3600",
            "--timeout",
            "900",
            "--memory",
            "300",
        )
        first = vm.submit(*flags, "--cpu", "10")
        vm.started(first)
        told = own(vm, ".held_back | select(. != null)")
        why = json.loads(vm.machine.wait_until(told, timeout=300, interval=2).stdout)
        assert why.startswith("cpu pressure is ")
        assert why.endswith("% (some avg10); new jobs wait until it is below 24 %")
        second = vm.submit(*flags, "--cpu", "10")
        assert vm.job(second)["state"] == "queued"
        health = json.loads(vm.run(HEALTH).stdout)
        assert (health["pressure"]["source"], health["free"]["slots"]) == ("ffmpeg.slice", 1)
        assert "held back: cpu pressure is" in vm.run("systemctl status ffmpeg-worker").stdout
        assert "held_back 1.0" in vm.run("curl -sSf http://127.0.0.1:9091/metrics").stdout
        assert vm.job(second)["state"] == "queued"
        vm.end(first)
        vm.started(second)
        vm.end(second)
