"""A job belongs to systemd: whatever becomes of the worker, it runs on."""

from __future__ import annotations

import pytest

from tests.system.farm import Farm

pytestmark = [pytest.mark.lab, pytest.mark.vm]

IN_FLIGHT = (
    *("--scenario", "preview", "--input", "/var/lib/ffmpeg-worker/input/clip.mp4"),
    *("--duration", "2", "--cpu", "20", "--timeout", "600"),
)


#: The kernel kills the worker itself, for its own memory.
OUT_OF_MEMORY = """
limit() { systemctl set-property --runtime ffmpeg-worker MemoryMax=$1; }
limit 16M
for i in $(seq 600); do
    journalctl -u ffmpeg-worker -o cat | grep -q "Failed with result 'oom-kill'" && break
    sleep 0.2
done
limit 1G
systemctl reset-failed ffmpeg-worker
systemctl start ffmpeg-worker
journalctl -u ffmpeg-worker -o cat | grep -q "Failed with result 'oom-kill'"
"""


@pytest.mark.parametrize(
    "blow",
    ["systemctl restart ffmpeg-worker", "systemctl kill -s KILL ffmpeg-worker", OUT_OF_MEMORY],
    ids=["restart", "kill", "out-of-memory"],
)
def test_an_encode_outlives_its_worker(vm: Farm, blow: str) -> None:
    output = "/var/lib/ffmpeg-worker/output/outlived.mp4"
    vm.run(f"rm -f {output}")
    job = vm.submit(*IN_FLIGHT, "--output", output)
    pid = vm.started(job)
    before = vm.run("systemctl show -P MainPID ffmpeg-worker").stdout
    vm.run(blow)
    vm.machine.wait_until("systemctl is-active ffmpeg-worker")
    assert vm.run("systemctl show -P MainPID ffmpeg-worker").stdout != before
    assert vm.run(f"cat /proc/{pid}/comm").stdout == "ffmpeg\n"
    vm.run(["ffmpeg-jobs", "set-limits", job, "--cpu", "400"])  # it was slow to outlive all that
    ended = vm.wait_for(job)
    assert (ended["state"], ended["attempt"]) == ("completed", 1)
    assert ended["media"]["duration_seconds"] == pytest.approx(2.0, abs=0.2)
    assert ended["enforced"] is True
    codec = vm.run(f"ffprobe -v error -show_entries stream=codec_name -of csv=p=0 {output}").stdout
    assert codec.split() == ["h264", "aac"]


def test_a_job_that_ended_while_no_worker_ran_is_reported_with_its_true_end(vm: Farm) -> None:
    job = vm.submit("--scenario", "preview", "--duration", "1", "--timeout", "600")
    vm.started(job)
    vm.run("systemctl stop ffmpeg-worker")
    vm.machine.wait_until(f"test -e /var/lib/ffmpeg-worker/jobs/{job}.1/facts.json", timeout=300)
    vm.run("systemctl start ffmpeg-worker")
    ended = vm.wait_for(job)
    assert (ended["state"], ended["attempt"], ended["exit_status"]) == ("completed", 1, 0)


def test_progress_goes_on_after_a_restart(vm: Farm) -> None:
    job = vm.submit("--scenario", "preview", "--duration", "3600", "--timeout", "3600")
    vm.started(job)
    vm.run("systemctl restart ffmpeg-worker")
    shown = f"{vm.ask(f'/jobs/{job}')} | jq -e '.progress.frame > 0'"
    vm.machine.wait_until(shown, timeout=300, interval=1)
    vm.end(job)
    assert vm.job(job)["state"] == "canceled"
