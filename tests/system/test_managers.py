"""The same jobs end the same way whoever holds them: the system, the account's own manager,
nobody. (More of ``manager = "none"``, without systemd: tests/unmanaged.)"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ffmpeg_worker.limits import CONTROLLERS
from tests.system.farm import Farm, worker_with

pytestmark = pytest.mark.lab

#: The rootless set-up of docs/managers.md, for the packaged service.
SET_UP = """
apt-get install --yes --quiet dbus-user-session libpam-systemd >/dev/null
uid=$(id -u ffmpeg-worker)
loginctl enable-linger ffmpeg-worker
cp /etc/ffmpeg-worker/worker.toml /root/worker.toml
sed -i '1i manager = "user"' /etc/ffmpeg-worker/worker.toml
mkdir -p /etc/systemd/system/ffmpeg-worker.service.d
cat >/etc/systemd/system/ffmpeg-worker.service.d/user.conf <<END
[Unit]
Wants=user@$uid.service
After=user@$uid.service
[Service]
Environment=XDG_RUNTIME_DIR=/run/user/$uid
ProtectHome=tmpfs
BindPaths=/run/user/$uid
END
systemctl daemon-reload
"""
UNDO = """
mv /root/worker.toml /etc/ffmpeg-worker/worker.toml
rm -f /etc/systemd/system/ffmpeg-worker.service.d/user.conf
loginctl disable-linger ffmpeg-worker
systemctl daemon-reload
systemctl restart ffmpeg-worker
"""
ALONE = """
cp /etc/ffmpeg-worker/worker.toml /root/worker.toml
sed -i '/^require_enforcement/d; s/^#* *max_concurrent_jobs =.*/max_concurrent_jobs = 1/' \
    /etc/ffmpeg-worker/worker.toml
sed -i -e '1i manager = "none"' -e '1i require_enforcement = false' /etc/ffmpeg-worker/worker.toml
"""
HEALTH = "curl -sf http://127.0.0.1:9091/health"
LONG = ("--scenario", "preview", "--duration", "3600", "--timeout", "3600")


#: Jobs as their users submit them, and how they end; the sleeper is canceled.
CLIP = "/var/lib/ffmpeg-worker/input/clip.mp4"
SUITE: dict[str, tuple[tuple[str, ...], tuple[str, str | None]]] = {
    "a file": (("--input", CLIP, "--scenario", "preview"), ("completed", None)),
    "no file": (("--input", "/var/lib/ffmpeg-worker/input/no.mp4"), ("failed", "input_error")),
    "no media": (("--input", "/var/lib/ffmpeg-worker/input/text"), ("failed", "input_error")),
    "too long": ((*LONG[:4], "--timeout", "3"), ("failed", "timeout")),
    "too much": (
        (*LONG[:4], "--crf", "1", "--preset", "ultrafast", "--disk", "1"),
        ("failed", "disk_full"),
    ),
    "sleeper": (LONG, ("canceled", "canceled")),
}


@contextmanager
def held_by(farm: Farm, manager: str) -> Iterator[None]:
    """The machine's worker with another manager, and as it was before."""
    if manager == "system":
        yield
        return
    farm.run(SET_UP if manager == "user" else ALONE)
    if manager == "user":
        farm.machine.wait_until("test -S /run/user/$(id -u ffmpeg-worker)/bus", timeout=120)
    farm.run("systemctl restart ffmpeg-worker")
    try:
        farm.machine.wait_until(f"{HEALTH} | jq -e '.manager == \"{manager}\"'", timeout=120)
        yield
    finally:
        farm.run(UNDO)
        farm.machine.wait_until(f"{HEALTH} | jq -e '.manager == \"system\"'", timeout=120)


@pytest.mark.parametrize("manager", ["system", "user", "none"])
def test_the_same_jobs_end_the_same_way(container: Farm, manager: str) -> None:
    container.machine.write("/var/lib/ffmpeg-worker/input/text", "no media", 0o644)
    with held_by(container, manager):
        ends = {}
        for name, (flags, _) in SUITE.items():
            job = container.submit(*flags, "--max-attempts", "1")
            if name == "sleeper":
                container.wait_for(job, "running")
                container.run(["ffmpeg-jobs", "cancel", job])
            shown = container.wait_for(job)
            ends[name] = (shown["state"], shown.get("reason"))
            # Each result says it, but of what never came to run.
            enforced = bool(container.machine.enforced and manager != "none")
            assert shown.get("enforced") is (None if name == "no file" else enforced), name
            if shown["state"] == "completed":
                assert shown["usage"]["cpu_seconds"] > 0
        check_told(container, manager)
    assert ends == {name: end for name, (_, end) in SUITE.items()}


def check_told(farm: Farm, manager: str) -> None:
    """What does not hold jobs here is said wherever people look."""
    health = json.loads(farm.run(HEALTH).stdout)
    missing = [name for name in CONTROLLERS if name not in health["enforced"]]
    assert missing or manager != "none"
    assert health["manager"] == manager
    metrics = farm.run("curl -sf http://127.0.0.1:9091/metrics").stdout.splitlines()
    for name in CONTROLLERS:
        assert f'limits_enforced{{limit="{name}"}} {float(name not in missing)}' in metrics
    status = farm.run("systemctl status ffmpeg-worker").stdout
    log = farm.run("journalctl -o cat -u ffmpeg-worker").stdout
    if missing:
        assert f"NOT ENFORCED: {', '.join(missing)}" in status
        assert f"limits_not_enforced manager={manager}" in log
    if missing and manager == "user":
        assert f"systemd --user of ffmpeg-worker was not given {', '.join(missing)}" in log


def scope_of(farm: Farm, job: str) -> str:
    """Wait until the job's ffmpeg runs; the directory of its cgroup."""
    find = f"find /sys/fs/cgroup -name ffmpeg-job-{job}.scope"
    running = f"grep -qx ffmpeg $(sed 's,.*,/proc/&/comm,' $({find})/cgroup.procs)"
    farm.machine.wait_until(running, timeout=600, interval=0.5)
    return farm.run(find).stdout.strip()


def test_the_accounts_own_manager_holds_a_job_through_a_restart(container: Farm) -> None:
    with held_by(container, "user"):
        job = container.submit(*LONG)
        scope = scope_of(container, job)
        uid = container.run("id -u ffmpeg-worker").stdout.strip()
        assert f"/user@{uid}.service/" in scope
        before = container.run(f"cat {scope}/cgroup.procs").stdout
        container.run("systemctl restart ffmpeg-worker")
        adopted = f"{HEALTH} | jq -e '.running == 1'"
        container.machine.wait_until(adopted, timeout=60)
        assert container.run(f"cat {scope}/cgroup.procs").stdout == before
        container.run(["ffmpeg-jobs", "cancel", job])
        ended = container.wait_for(job)
        assert (ended["state"], ended["attempt"]) == ("canceled", 1)
        container.machine.wait_until(f"! test -e {scope}", timeout=60)


def test_commands_of_root_and_of_the_timer_need_no_bus(container: Farm) -> None:
    with held_by(container, "user"):
        container.run("systemctl start ffmpeg-worker-clean.service")
        for command in ("capacity", "drain", "undrain", "clean"):
            container.run(f"ffmpeg-worker {command}")
        source = json.loads(container.run(HEALTH).stdout)["pressure"]["source"]
        assert source != "ffmpeg.slice"


def test_a_worker_that_starts_before_its_manager_waits_for_it(container: Farm) -> None:
    """As where the drop-in has no After= and the machine starts."""
    with held_by(container, "user"):
        manager = "user@$(id -u ffmpeg-worker).service"
        container.run("sed -i '/^Wants\\|^After/d' /etc/systemd/system/ffmpeg-worker.service.d/*")
        container.run("systemctl daemon-reload")
        container.run(f"systemctl stop ffmpeg-worker {manager}")
        container.run("systemctl start --no-block ffmpeg-worker")
        # As long as /run/user/UID is not there, systemd starts it again; then it waits.
        tried = "systemctl show -P NRestarts ffmpeg-worker | grep -v '^0$'"
        waits = "journalctl -o cat -u ffmpeg-worker | grep waiting_for_user_bus"
        container.machine.wait_until(f"{tried} || {waits}", timeout=60)
        container.run(f"systemctl start {manager}")
        container.machine.wait_until(f"{HEALTH} | jq -e '.manager == \"user\"'", timeout=120)


@pytest.mark.vm
def test_its_limits_are_enforced_without_root(vm: Farm) -> None:
    with held_by(vm, "user"):
        job = vm.submit(*LONG, "--cpu", "50", "--memory", "256")
        scope = scope_of(vm, job)
        assert vm.run(f"cat {scope}/cpu.max {scope}/memory.max").stdout.split() == [
            *("50000", "100000"),
            "268435456",
        ]
        vm.run(["ffmpeg-jobs", "pause", job])
        vm.machine.wait_until(f"grep -qx 1 {scope}/cgroup.freeze", timeout=120, interval=1)
        vm.run(["ffmpeg-jobs", "cancel", job])
        ended = vm.wait_for(job)
        assert (ended["state"], ended["enforced"]) == ("canceled", True)
        large = ("--width", "7680", "--height", "4320", "--preset", "ultrafast")
        job = vm.submit("--duration", "60", *large, "--memory", "150")
        ended = vm.wait_for(job)
        assert (ended["state"], ended["reason"]) == ("failed", "out_of_memory")
        health = json.loads(vm.run(HEALTH).stdout)
        assert {"cpu", "memory", "pids"} <= set(health["enforced"])


def test_a_restart_of_the_system_s_bus_costs_the_account_s_manager_no_job(
    container: Farm,
) -> None:
    """It loses the connection by which it has processes moved, and looks for it only when it
    starts: every job of the machine failed from then on."""
    with held_by(container, "user"), worker_with(container, max_concurrent_jobs=4):
        long = container.submit(*LONG)
        scope = scope_of(container, long)
        container.run("systemctl restart dbus")
        # Several at once, for the manager is started anew once.
        jobs = [container.submit("--input", CLIP, "--scenario", "preview") for _ in range(3)]
        for job in jobs:
            ended = container.wait_for(job)
            assert (ended["state"], ended["attempt"]) == ("completed", 1), ended
        assert container.run(f"cat {scope}/cgroup.procs").stdout
        container.run(["ffmpeg-jobs", "cancel", long])
        assert container.wait_for(long)["state"] == "canceled"
        renewed = "journalctl -o cat -u ffmpeg-worker | grep -c event=user_manager_renewed"
        assert container.run(renewed).stdout.strip() == "1"
    container.run("systemctl restart systemd-logind")  # on Debian 13 it hangs from then on


def test_the_account_s_manager_may_be_started_anew(container: Farm) -> None:
    """The worker sees its new bus only from a new namespace, and costs no job a try until then."""
    with held_by(container, "user"):
        uid = container.run("id -u ffmpeg-worker").stdout.strip()
        pid = container.run("systemctl show -P MainPID ffmpeg-worker").stdout.strip()
        container.run(f"systemctl stop user@{uid}.service")
        container.machine.wait_until(f"systemctl show -P MainPID ffmpeg-worker | grep -vx {pid}")
        container.run(f"systemctl start user@{uid}.service")
        other = f"systemctl show -P MainPID ffmpeg-worker | grep -vx -e 0 -e {pid}"
        container.machine.wait_until(other, timeout=120)
        job = container.submit("--input", CLIP, "--scenario", "preview", "--max-attempts", "1")
        ended = container.wait_for(job)
        assert ended["state"] == "completed", ended
        assert "systemd --user went away" in container.run("journalctl -u ffmpeg-worker").stdout


def test_who_can_start_nothing_takes_no_jobs_until_it_can(container: Farm) -> None:
    launcher = "ffmpeg-worker-launcher"
    container.run(f"systemctl mask --runtime --now {launcher}")
    try:
        quick = ("--input", CLIP, "--scenario", "preview", "--max-attempts", "1")
        for _ in range(2):
            ended = container.wait_for(container.submit(*quick))
            assert (ended["state"], ended["reason"]) == ("failed", "worker_lost"), ended
        held_back = f"{container.ask('/workers')} | jq -r '.[0].held_back'"
        told = "2 jobs in a row could not be started"
        container.machine.wait_until(f"{held_back} | grep '{told}'")
        assert json.loads(container.run(HEALTH).stdout)["status"] == "degraded"
        assert told in container.run("systemctl status ffmpeg-worker").stdout
        job = container.submit(*quick)
    finally:
        container.run(f"systemctl unmask --runtime {launcher}")
    ended = container.wait_for(job)
    assert (ended["state"], ended["attempt"]) == ("completed", 1), ended
    container.machine.wait_until(f"{HEALTH} | jq -e '.status == \"ok\"'")
