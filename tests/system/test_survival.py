"""Whoever dies, at whatever moment: no job is lost, none runs twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.system.farm import PATIENCE_SECONDS, Farm, waiting_ffmpeg, worker_with

pytestmark = pytest.mark.lab

CLIP = "/var/lib/ffmpeg-worker/input/clip.mp4"
JOBS = "/var/lib/ffmpeg-worker/jobs"
#: What is there when the worker has come to each step, and not before.
STEPS = {
    "claimed and written down": f"{JOBS}/*.1/plan.json",
    "prepared": f"{JOBS}/*.1/work",
    "held": f"{JOBS}/*.1/holder.json",
    "in its scope": "/sys/fs/cgroup/ffmpeg.slice/ffmpeg-job-*.scope",
    "released": f"{JOBS}/*.1/released",
    "watched": f"{JOBS}/*.1/work/progress",
    "ended": f"{JOBS}/*.1/facts.json",
    "concluded": f"{JOBS}/*.1/outcome.json",
}
#: Kill the worker as soon as a path is there. A loop, because nothing is quicker.
KILLER = """
import glob, os, signal, subprocess, sys, time
show = ["systemctl", "show", "-P", "MainPID", "ffmpeg-worker"]
pid = int(subprocess.run(show, capture_output=True, check=True).stdout)
print("ready", flush=True)
until = time.monotonic() + 600
while time.monotonic() < until:
    if glob.glob(sys.argv[1]):
        os.kill(pid, signal.SIGKILL)
        print("killed", flush=True)
        break
"""
HEALTH = "curl -sf http://127.0.0.1:9091/health"


def submit(farm: Farm, name: str, *flags: str) -> tuple[str, str]:
    """An encode of the clip, and where its output will be."""
    output = f"/var/lib/ffmpeg-worker/output/{name}.mp4"
    farm.run(f"rm -f {output}")
    job = farm.submit("--scenario", "preview", "--input", CLIP, "--output", output, *flags)
    return job, output


def runs(farm: Farm, job: str) -> int:
    """How often ffmpeg ran for the job, as the journal of its scope tells it."""
    journal = f"journalctl --no-pager -u ffmpeg-job-{job}.scope"
    return int(farm.run(f"{journal} | grep -c 'Output #0' || true").stdout)


def check(farm: Farm, job: str, output: str) -> dict[str, Any]:
    """It completed, once, with a whole output, and left nothing behind."""
    ended = farm.wait_for(job)
    assert ended["state"] == "completed", ended
    probe = "ffprobe -v error -show_entries stream=codec_name -of csv=p=0"
    assert farm.run(f"{probe} {output}").stdout.split() == ["h264", "aac"]
    farm.machine.wait_until(f'test -z "$(ls -A {JOBS})"', timeout=60)
    assert farm.run("ls -A /var/lib/ffmpeg-worker/output").stdout.count(".part") == 0
    assert farm.gone(job)
    assert runs(farm, job) == 1
    return ended


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_that_dies_at_any_step_loses_nothing(container: Farm, step: str) -> None:
    container.machine.wait_until(f"{HEALTH} | jq -e '.running == 0'", timeout=60)
    container.machine.write("/root/killer.py", KILLER, 0o755)
    command = f"python3 /root/killer.py '{STEPS[step]}' >/root/killed 2>&1 &"
    container.run(f"rm -f /root/killed; {command}")
    container.machine.wait_until("grep -q ready /root/killed", timeout=30, interval=0.1)
    killed = "grep -q killed /root/killed"
    for _ in range(5):  # some steps last milliseconds: on a busy machine the killer may sleep then
        job, output = submit(container, "survived")
        over = f"{container.ask(f'/jobs/{job}')} | jq -e '.state == \"completed\"' >/dev/null"
        container.machine.wait_until(f"{killed} || {over}", timeout=PATIENCE_SECONDS)
        if container.run(killed, check=False).returncode == 0:
            break
    ended = check(container, job, output)
    assert ended["attempt"] == 1 or ended["given_back"] == ended["attempt"] - 1
    container.run("systemctl reset-failed ffmpeg-worker")


#: What the worker is about to do when it dies at the end of a job: a call, and its first path.
STAGING = "/var/lib/ffmpeg-worker/output/.ffmpeg-worker-{uid}"
CALLS = {
    "note that the output gets its name": ("link", f"{JOBS}/{{job}}.1/plan.json"),
    "give the output its name": ("rename", STAGING),
    "write the outcome down": ("rename", f"{JOBS}/{{job}}.1/.outcome.json.new"),
    "take the job's plan away": ("unlink", f"{JOBS}/{{job}}.1/plan.json"),
    "take the rest of its directory away": ("unlink", f"{JOBS}/{{job}}.1"),
}
NAMES = {
    "link": "?link,?linkat",
    "rename": "?rename,?renameat,?renameat2",
    "unlink": "?unlink,?rmdir,?unlinkat",
}


@pytest.mark.parametrize("call", CALLS)
def test_a_worker_that_dies_at_a_call_of_its_publishing_loses_nothing(
    container: Farm, call: str
) -> None:
    container.machine.wait_until(f"{HEALTH} | jq -e '.running == 0'", timeout=60)
    pid = container.run("systemctl show -P MainPID ffmpeg-worker").stdout.strip()
    uid = container.run("id -u ffmpeg-worker").stdout.strip()
    with waiting_ffmpeg(container) as let_go:
        job, output = submit(container, "published")
        container.started(job)
        name, path = CALLS[call]
        # strace(1) kills it before the call is made.
        calls = f"-e trace={NAMES[name]} -e inject={NAMES[name]}:signal=SIGKILL"
        traced = f"strace -f -qq -o /root/calls -P {path.format(job=job, uid=uid)} {calls} -p {pid}"
        container.run(f"{traced} >/root/traced 2>&1 &")
        container.machine.wait_until(f"grep -q 'TracerPid:.[1-9]' /proc/{pid}/status")
        let_go(job)
    container.machine.wait_until(f"! test -e /proc/{pid}", timeout=PATIENCE_SECONDS, interval=0.2)
    assert check(container, job, output)["attempt"] == 1
    container.run("systemctl reset-failed ffmpeg-worker")


@pytest.mark.parametrize(
    "blow",
    [
        "systemctl kill -s KILL ffmpeg-worker-launcher",
        "systemctl daemon-reload",
        "systemctl daemon-reexec",
        "systemctl restart dbus",
    ],
)
def test_the_death_of_what_we_lean_on_disturbs_no_job(container: Farm, blow: str) -> None:
    # The launcher runs only for a minute after it was called.
    long = container.submit("--scenario", "preview", "--duration", "3600", "--timeout", "3600")
    pid = container.started(long)
    since = container.run("date +%s").stdout.strip()
    container.run(blow)
    time.sleep(1)
    assert container.run(f"cat /proc/{pid}/comm").stdout == "ffmpeg\n"
    container.run(["ffmpeg-jobs", "cancel", long])
    ended = container.wait_for(long)
    assert (ended["state"], ended["attempt"]) == ("canceled", 1)
    job, output = submit(container, "undisturbed")
    assert check(container, job, output)["attempt"] == 1
    units = "-u ffmpeg-worker -u ffmpeg-worker-launcher"
    told = container.run(f"journalctl --no-pager --since @{since} {units}").stdout
    assert "Traceback" not in told
    assert ("event=bus_gone" in told) is blow.endswith("dbus")


def test_a_scope_that_nobody_knows_is_ended_and_logged(container: Farm) -> None:
    container.run("systemctl stop ffmpeg-worker")
    stray = "ffmpeg-job-strayaaaaaaa.scope"
    container.run(f"systemd-run --scope --slice=ffmpeg.slice --unit={stray} sleep 3600 >&- 2>&- &")
    container.machine.wait_until(f"systemctl is-active {stray}")
    container.run("systemctl start ffmpeg-worker")
    container.machine.wait_until(f"! systemctl is-active {stray}", timeout=60)
    log = container.run("journalctl -u ffmpeg-worker --no-pager -n 50").stdout
    assert f"event=stray_scope_stopped unit={stray}" in log


#: What becomes of a job while no worker runs, and what it is then said to have been.
ENDS = {
    "over its time": ("sleep 1", "timeout", "it was ended after 8 seconds"),
    "stopped": ("systemctl stop {unit}", "worker_lost", "ended it with signal 15"),
    "killed": ("systemctl kill -s KILL {unit}", "worker_lost", "killed from outside"),
    "crashed": ("kill -SEGV {pid}", "encoder_error", "ffmpeg crashed with signal 11"),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_end_that_no_worker_saw_is_told_as_it_was(container: Farm, end: str) -> None:
    blow, reason, words = ENDS[end]
    timeout = "8" if reason == "timeout" else "3600"
    flags = ("--scenario", "preview", "--duration", "3600", "--max-attempts", "1")
    job = container.submit(*flags, "--timeout", timeout)
    pid, unit = container.started(job), f"ffmpeg-job-{job}.scope"
    container.run("systemctl stop ffmpeg-worker")
    container.run(blow.format(unit=unit, pid=pid))
    container.machine.wait_until(f"! systemctl is-active {unit}", timeout=60)
    container.run("systemctl start ffmpeg-worker")
    ended = container.wait_for(job)
    assert (ended["state"], ended["reason"], ended["attempt"]) == ("failed", reason, 1)
    assert words in ended["error"]
    assert container.gone(job)


@contextmanager
def short_lease(farm: Farm, seconds: int = 9) -> Iterator[None]:
    """The master believes in a silent worker for so many seconds."""
    file = "/etc/ffmpeg-worker/master.toml"
    settings = f"lease_seconds = {seconds}\\nidle_heartbeat_seconds = 3"
    farm.run(f"cp {file} /root/master.toml; sed -i '/^.leases.$/a {settings}' {file}")
    farm.run("systemctl restart ffmpeg-master")
    try:
        yield
    finally:
        farm.run(f"cp /root/master.toml {file}; systemctl restart ffmpeg-master")


def test_what_ended_while_the_master_was_away_is_told_when_it_is_back(container: Farm) -> None:
    """It was away for more than two leases, and the worker was restarted meanwhile."""
    # An emulated worker with two encodes beside it is late at times.
    seconds = 9 if container.machine.backend == "container" else 18
    with (
        waiting_ffmpeg(container) as let_go,
        short_lease(container, seconds),
        worker_with(container, max_concurrent_jobs=2),
    ):
        flags = ("--scenario", "preview", "--duration", "3600", "--max-attempts", "1")
        other = container.submit(*flags, "--timeout", "12")
        container.started(other)
        job, output = submit(container, "waited")
        container.started(job)
        container.run("systemctl stop ffmpeg-master.socket ffmpeg-master.service")
        let_go(job)
        for each in (job, other):  # an emulated machine may have told of the other before
            over = f"test -e {JOBS}/{each}.1/facts.json || ! test -e {JOBS}/{each}.1"
            container.machine.wait_until(over, timeout=PATIENCE_SECONDS)
        container.run("systemctl restart ffmpeg-worker")
        time.sleep(2 * seconds + 2)
        container.run("systemctl start ffmpeg-master.socket ffmpeg-master.service")
        assert check(container, job, output)["attempt"] == 1
        ended = container.wait_for(other)
        assert (ended["reason"], ended["attempt"]) == ("timeout", 1)


def stand_still(farm: Farm, job: str) -> None:
    """Stop the worker's process where it is, until the job is taken from it."""
    farm.run("systemctl kill --kill-whom=main -s STOP ffmpeg-worker")
    queued = f"{farm.ask(f'/jobs/{job}')} | jq -e '.state == \"queued\"'"
    farm.machine.wait_until(queued, timeout=60, interval=1)


def go_on(farm: Farm, job: str) -> None:
    """Let it go on, until it knows."""
    farm.run("systemctl kill --kill-whom=main -s CONT ffmpeg-worker")
    lost = f"journalctl -u ffmpeg-worker --no-pager | grep -q 'attempt_lost.*job={job}'"
    farm.machine.wait_until(lost, timeout=60)


def test_a_worker_that_stood_still_past_its_lease_runs_one_attempt_at_a_time(
    container: Farm,
) -> None:
    """With room for both: the claim that it held open may bring the job's next attempt."""
    with short_lease(container), worker_with(container, max_concurrent_jobs=2):
        job = container.submit("--scenario", "preview", "--duration", "3600", "--timeout", "3600")
        before = container.started(job)
        stand_still(container, job)
        go_on(container, job)
        again = f"{container.ask(f'/jobs/{job}')} | jq -e '.attempt == 2'"
        container.machine.wait_until(again, timeout=60, interval=1)
        container.machine.wait_until(f"! test -e /proc/{before}", timeout=60)
        assert container.started(job) != before
        container.run(["ffmpeg-jobs", "pause", job])  # nothing was left that stops the new scope
        assert container.wait_for(job, "paused")["attempt"] == 2
        container.end(job)
        shown = container.job(job)
        assert (shown["state"], shown["attempt"]) == ("canceled", 2)


def test_what_ended_under_a_lost_lease_is_not_published(container: Farm) -> None:
    with short_lease(container):
        container.machine.wait_until(f"{HEALTH} | jq -e '.running == 0'", timeout=60)
        with waiting_ffmpeg(container) as let_go:
            job, output = submit(container, "lost")
            container.started(job)
            name = container.run("hostname").stdout.strip()
            container.run(["ffmpeg-jobs", "cordon", name])  # another attempt would publish rightly
            stand_still(container, job)
            let_go(job)
        container.machine.wait_until(f"test -e {JOBS}/{job}.1/facts.json", timeout=120)
        go_on(container, job)
        container.machine.wait_until(f"! test -e {JOBS}/{job}.1", timeout=60)
        left = "ls -A /var/lib/ffmpeg-worker/output"
        assert output.rpartition("/")[2] not in container.run(left).stdout
        container.run(["ffmpeg-jobs", "uncordon", name])
        ended = container.wait_for(job)
        assert (ended["state"], ended["attempt"]) == ("completed", 2)
        container.run(f"test -s {output}")
