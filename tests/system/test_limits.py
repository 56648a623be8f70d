"""What the kernel holds a job to, in a machine where it can."""

from __future__ import annotations

import pytest

from tests.system.farm import WORK, Farm, in_place_of_ffmpeg, scope, waiting_ffmpeg

pytestmark = [pytest.mark.lab, pytest.mark.vm]

ENDLESS = ("--scenario", "preview", "--duration", "3600", "--timeout", "3600")


def test_the_kernel_has_the_job_s_limits(vm: Farm) -> None:
    job = vm.submit(*ENDLESS, "--cpu", "50", "--memory", "256")
    vm.started(job)
    files = {
        name: vm.machine.read(f"{scope(job)}/{name}").strip()
        for name in ("cpu.max", "memory.max", "memory.swap.max", "pids.max")
    }
    limit = vm.run(f"systemctl show -P RuntimeMaxUSec ffmpeg-job-{job}.scope").stdout.strip()
    vm.end(job)
    assert files == {
        "cpu.max": "50000 100000",
        "memory.max": "268435456",
        "memory.swap.max": "0",
        "pids.max": "1024",
    }
    assert limit == "1h"


def test_ffmpeg_s_very_first_act_lies_inside_the_scope(vm: Farm) -> None:
    with waiting_ffmpeg(vm) as let_go:
        job = vm.submit("--scenario", "preview", "--duration", "1", "--cpu", "50")
        host_view = vm.machine.read(f"/proc/{vm.started(job)}/cgroup")
        first_act = f"{WORK.format(job=job)}/first-act"
        vm.machine.wait_until(f"test -s {first_act}", timeout=300)
        own_view = vm.machine.read(first_act)
        let_go(job)
        assert vm.wait_for(job)["state"] == "completed"
    # Its cgroup namespace was made inside the scope, so the scope is its root.
    assert own_view == "0::/\n"
    assert host_view == f"0::/ffmpeg.slice/ffmpeg-job-{job}.scope\n"


def test_more_memory_than_allowed_ends_the_job_and_says_so(vm: Farm) -> None:
    # Raw 8K pictures are 50 to 130 MB each: the first few are too many.
    job = vm.submit(
        *("--duration", "60", "--width", "7680", "--height", "4320", "--encoder", "libx264"),
        *("--preset", "ultrafast", "--memory", "150"),
    )
    ended = vm.wait_for(job)
    assert (ended["state"], ended["reason"]) == ("failed", "out_of_memory")
    assert "150 MB" in ended["error"]
    assert ended["attempt"] == 1
    assert 100 << 20 < ended["usage"]["memory_peak_bytes"] <= 150 << 20
    assert ended["usage"]["cpu_seconds"] > 0
    vm.machine.wait_until(f"! test -e {scope(job)}")
    assert vm.gone(job)


def test_a_job_over_its_time_is_ended_and_nothing_of_it_is_left(vm: Farm) -> None:
    job = vm.submit("--scenario", "preview", "--duration", "3600", "--timeout", "5")
    ended = vm.wait_for(job)
    assert (ended["state"], ended["reason"]) == ("failed", "timeout")
    assert "5" in ended["error"]
    assert vm.run("pgrep -x 'ffmpeg|bwrap'", check=False).stdout == ""
    assert vm.gone(job)


def test_a_canceled_job_s_scope_is_gone_within_five_seconds(vm: Farm) -> None:
    job = vm.submit(*ENDLESS)
    vm.started(job)
    vm.run(["ffmpeg-jobs", "cancel", job])
    # The promise is the worker's; five seconds of an emulated machine's own clock.
    script = f"for i in $(seq 50); do test -e {scope(job)} || exit 0; sleep 0.1; done; exit 1"
    assert vm.run(script, check=False).returncode == 0
    assert vm.wait_for(job)["state"] == "canceled"


# Memory of its own: the program's pages may already be charged to whoever read them first.
BRIEF = """#!/bin/sh
own=$(head -c 4000000 /dev/zero | tr '\\0' x)
exit 1
"""


def test_usage_of_what_lives_for_a_moment_is_known(vm: Farm) -> None:
    with in_place_of_ffmpeg(vm, BRIEF):
        ended = vm.wait_for(vm.submit("--scenario", "preview", "--duration", "1"))
    usage = ended["usage"]
    assert ended["exit_status"] == 1
    assert 0 < usage["cpu_seconds"] < 60
    assert 0 < usage["wall_seconds"] < 60
    assert 4000000 < usage["memory_peak_bytes"] < 512 << 20


def test_usage_is_what_the_kernel_counted(vm: Farm) -> None:
    job = vm.submit("--scenario", "preview", "--duration", "1", "--cpu", "50")
    usage = vm.wait_for(job)["usage"]
    assert 0 < usage["cpu_seconds"] <= usage["wall_seconds"]
    assert usage["throttled_seconds"] > 0
    assert 5 << 20 < usage["memory_peak_bytes"] < 512 << 20


def test_what_is_read_and_written_is_counted(vm: Farm) -> None:
    clip, copy = (f"/var/lib/ffmpeg-worker/{place}/clip.mp4" for place in ("input", "output"))
    vm.run("sync; echo 3 >/proc/sys/vm/drop_caches")  # what is in memory is not read
    job = vm.submit(
        *("--input", clip, "--output", copy, "--encoder", "copy", "--audio-encoder", "copy")
    )
    ended = vm.wait_for(job)
    assert ended["state"] == "completed", ended
    sizes = vm.run(f"stat -c %s {clip} {copy}").stdout.split()
    assert ended["usage"]["read_bytes"] >= int(sizes[0])
    assert ended["usage"]["written_bytes"] >= int(sizes[1])
