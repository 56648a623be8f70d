"""CPU time of the machine's services, as their cgroups count it: also where nothing is enforced,
and with all processes that have ended."""

import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
INIT = "init.scope"
JOBS = "ffmpeg.slice"
WORKER = "system.slice/ffmpeg-worker.service"
#: What the work of a farm is done in, by its name in a table.
SERVICES = {
    "worker": WORKER,
    "launcher": "system.slice/ffmpeg-worker-launcher.service",
    "systemd (PID 1)": INIT,
    "journald": "system.slice/systemd-journald.service",
    "dbus": "system.slice/dbus.service",
    "master": "system.slice/ffmpeg-master.service",
    "jobs": JOBS,
}
MACHINE = "machine"
#: A worker is at rest that takes less of a core over a second.
REST = 0.02


def cpu_seconds(cgroup: str) -> float:
    """CPU time so far, of all below too; usage_usec of cpu.stat (cgroup-v2.rst). 0: there is no
    such cgroup, yet."""
    try:
        return int((ROOT / cgroup / "cpu.stat").read_text().split()[1]) / 1e6
    except FileNotFoundError:
        return 0.0


def snapshot() -> dict[str, float]:
    """CPU seconds of each service so far, and of the whole machine."""
    found = {name: cpu_seconds(cgroup) for name, cgroup in SERVICES.items()}
    return found | {MACHINE: cpu_seconds("")}


def since(before: dict[str, float]) -> dict[str, float]:
    """CPU seconds since a snapshot."""
    return {name: seconds - before[name] for name, seconds in snapshot().items()}


def scopes() -> set[str]:
    """The jobs that are held now."""
    return {path.name for path in (ROOT / JOBS).glob("*.scope")}


def processes(scope: str) -> list[str]:
    """The processes of a job, none if it is gone."""
    try:
        return (ROOT / JOBS / scope / "cgroup.procs").read_text().split()
    except OSError:
        return []


def rest() -> None:
    """Wait until the worker does nothing: what it does after its start is no job's cost."""
    while True:
        before = cpu_seconds(WORKER)
        time.sleep(1)
        if cpu_seconds(WORKER) - before < REST and not scopes():
            return
