"""What changes while a job runs: its limits, and whether it runs at all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.system.farm import Farm, in_place_of_ffmpeg, scope

pytestmark = pytest.mark.lab

ENDLESS = ("--scenario", "preview", "--duration", "3600", "--timeout", "3600")
SECONDS = 300.0


def until(farm: Farm, job: str, question: str) -> dict[str, Any]:
    """Wait until jq says yes to the job; the job then."""
    asked = f"{farm.ask(f'/jobs/{job}')} | jq -e '{question}'"
    farm.machine.wait_until(asked, timeout=SECONDS, interval=0.5)
    return farm.job(job)


def kernel(farm: Farm, job: str, *names: str) -> list[str]:
    return [farm.machine.read(f"{scope(job)}/{name}").strip() for name in names]


def progress(farm: Farm, job: str) -> str:
    """ffmpeg's frames and the scope's CPU time, without worker and master in between."""
    written = f"/var/lib/ffmpeg-worker/jobs/{job}.1/work/progress"
    counted = f"grep usage_usec {scope(job)}/cpu.stat"
    return farm.run(f"grep -a ^frame= {written} | tail -1; {counted}").stdout


def paused(farm: Farm, *flags: str) -> str:
    """A job that was submitted, started and paused; its id."""
    job = farm.submit("--scenario", "preview", *flags)
    farm.started(job)
    farm.run(["ffmpeg-jobs", "pause", job])
    shown = until(farm, job, '.state == "paused"')
    assert shown["in_force"]["paused"] is True
    assert kernel(farm, job, "cgroup.freeze") == ["1"]
    return job


@pytest.mark.vm
def test_limits_change_without_a_restart_and_outlive_the_worker(vm: Farm) -> None:
    job = vm.submit(*ENDLESS, "--cpu", "50", "--memory", "256")
    pid = vm.started(job)
    vm.run(["ffmpeg-jobs", "set-limits", job, "--cpu", "75", "--memory", "300"])
    shown = until(vm, job, ".in_force | .max_cpu_percent == 75 and .max_memory_mb == 300")
    assert kernel(vm, job, "cpu.max", "memory.max") == ["75000 100000", str(300 << 20)]
    assert shown["job"]["resource_limits"]["max_memory_mb"] == 300
    assert "unmet" not in shown
    vm.run("systemctl kill -s KILL ffmpeg-worker")
    vm.machine.wait_until("systemctl is-active ffmpeg-worker")
    vm.run(["ffmpeg-jobs", "set-limits", job, "--cpu", "60"])
    until(vm, job, ".in_force.max_cpu_percent == 60")
    assert kernel(vm, job, "cpu.max", "memory.max") == ["60000 100000", str(300 << 20)]
    assert vm.started(job) == pid, "it was started again"
    vm.end(job)


@pytest.mark.vm
def test_a_limit_over_the_machine_s_cap_is_told_and_changes_nothing(vm: Farm) -> None:
    settings = "/etc/ffmpeg-worker/worker.toml"
    vm.run(f"sed -i 's/^\\[limits\\]$/&\\nmax_cpu_percent = 400/' {settings}")
    vm.run("systemctl restart ffmpeg-worker")
    job = vm.submit(*ENDLESS, "--cpu", "50", "--memory", "256")
    vm.started(job)
    vm.run(["ffmpeg-jobs", "set-limits", job, "--cpu", "800"])
    shown = until(vm, job, ".unmet")
    assert "max_cpu_percent: 800 is over the cap of 400" in shown["unmet"]
    assert shown["in_force"]["max_cpu_percent"] == 50
    vm.run(["ffmpeg-jobs", "pause", job])  # the refused limit is not in its way
    assert "unmet" in until(vm, job, '.state == "paused"')
    vm.run(["ffmpeg-jobs", "resume", job])
    vm.run(["ffmpeg-jobs", "set-limits", job, "--cpu", "60"])
    shown = until(vm, job, '.state == "running" and .in_force.max_cpu_percent == 60')
    assert "unmet" not in shown
    vm.end(job)
    vm.run(f"sed -i '/^max_cpu_percent = 400$/d' {settings}; systemctl restart ffmpeg-worker")


@pytest.mark.vm
def test_less_memory_than_it_holds_ends_a_job_that_cannot_give_it_back(vm: Farm) -> None:
    large = ("--scenario", "1080p-h264", "--preset", "ultrafast", "--duration", "3600")
    job = vm.submit(*large, "--memory", "512")
    vm.started(job)
    vm.machine.wait_until(
        f"[ $(cat {scope(job)}/memory.current) -gt $((40<<20)) ]", timeout=SECONDS
    )
    vm.run(["ffmpeg-jobs", "set-limits", job, "--memory", "16"])
    ended = vm.wait_for(job)
    assert (ended["state"], ended["reason"]) == ("failed", "out_of_memory")
    assert "16 MB" in ended["error"]


#: No faster than what it encodes is played: it runs yet when somebody pauses it.
PACED = """#!/bin/sh
/usr/bin/ffmpeg.real -re "$@"
"""


def test_a_paused_job_stands_still_and_then_completes(container: Farm) -> None:
    with in_place_of_ffmpeg(container, PACED):
        job = paused(container, "--duration", "30")
        before = progress(container, job)
        container.run("sleep 3")
        assert progress(container, job) == before
        container.run(["ffmpeg-jobs", "resume", job])
        ended = container.wait_for(job)
    assert (ended["state"], ended["attempt"]) == ("completed", 1)
    assert ended["media"]["duration_seconds"] == pytest.approx(30, abs=1)


def test_the_next_worker_keeps_a_job_paused_and_lets_it_go_on(container: Farm) -> None:
    job = paused(container, *ENDLESS[2:])
    container.run("systemctl restart ffmpeg-worker")
    before = container.job(job)["updated_at"]
    until(container, job, f'.updated_at > "{before}" and .in_force.paused')
    assert kernel(container, job, "cgroup.freeze") == ["1"]
    container.run(["ffmpeg-jobs", "resume", job])
    until(container, job, '.state == "running"')
    assert kernel(container, job, "cgroup.freeze") == ["0"]
    container.end(job)


def test_a_paused_job_can_be_canceled(container: Farm) -> None:
    job = paused(container, *ENDLESS[2:])
    container.run(["ffmpeg-jobs", "cancel", job])
    assert container.wait_for(job)["state"] == "canceled"
    container.machine.wait_until(f"! test -e {scope(job)}")


def test_the_timeout_goes_on_while_a_job_is_paused(container: Farm) -> None:
    job = paused(container, "--duration", "3600", "--timeout", "40")
    ended = container.wait_for(job)
    assert (ended["state"], ended["reason"]) == ("failed", "timeout")
    assert container.gone(job)
    said = container.run(f"journalctl -o cat -u ffmpeg-job-{job}.scope").stdout
    assert "reached runtime time limit" in said, "it was not systemd that ended it"


def test_the_timeout_of_a_running_job_is_refused_with_its_reason(container: Farm) -> None:
    job = container.submit(*ENDLESS)
    container.started(job)
    run = container.run(["ffmpeg-jobs", "set-limits", job, "--timeout", "60"], check=False)
    assert run.returncode == 1
    assert "RuntimeMaxSec" in run.stderr
    container.end(job)


def test_systemd_gets_new_limits_and_a_kernel_without_them_is_told_of(container: Farm) -> None:
    job = container.submit(*ENDLESS, "--cpu", "50", "--memory", "256")
    container.started(job)
    container.run(["ffmpeg-jobs", "set-limits", job, "--cpu", "75", "--memory", "300"])
    show = f"systemctl show -P MemoryMax -P CPUQuotaPerSecUSec ffmpeg-job-{job}.scope"
    wanted = f"{show} | sort | tr '\\n' ' ' | grep -x '{300 << 20} 750ms '"
    container.machine.wait_until(wanted, timeout=SECONDS)
    if {"cpu", "memory", "pids"} <= container.machine.enforced:
        until(container, job, ".in_force.max_memory_mb == 300")
    else:
        shown = until(container, job, ".unmet")
        assert "the kernel does not hold it to the new" in shown["unmet"]
    container.end(job)
