"""Restart the worker under its jobs, and see when each of them is in its hands again.

Prints JSON: seconds from the order to restart. Raises AssertionError if a job's process is
another one afterwards.
"""

import json
import subprocess
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint

KEY = Path("/etc/ffmpeg-worker/admin-key")
SLICE = Path("/sys/fs/cgroup/ffmpeg.slice")
UNIT = "/org/freedesktop/systemd1/unit/ffmpeg_2dworker_2eservice"


def processes(name: str) -> dict[int, str]:
    """Of all jobs, those of that name: pid, and when it started, as the kernel counts."""
    pids = " ".join(file.read_text() for file in SLICE.glob("*.scope/cgroup.procs")).split()
    stats = (Path(f"/proc/{pid}/stat").read_text() for pid in pids)
    parts = (stat.rpartition(")") for stat in stats)
    return {
        int(head.split()[0]): rest.split()[19]  # proc(5): starttime is field 22
        for head, _, rest in parts
        if head.partition("(")[2] == name
    }


def watched_by(worker: int) -> set[int]:
    """The processes that it has a pidfd of."""
    found = set()
    for file in Path(f"/proc/{worker}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            lines = file.read_text().splitlines()
            found |= {int(line.split()[1]) for line in lines if line.startswith("Pid:")}
    return found


def service(name: str) -> int:
    """A property of the worker's service."""
    command = ["busctl", "get-property", "org.freedesktop.systemd1", UNIT]
    shown = subprocess.run(
        [*command, "org.freedesktop.systemd1.Service", name], capture_output=True, check=True
    )
    return int(shown.stdout.split()[1])


def main() -> None:
    """Restart, and look until all is as it was."""
    master = MasterClient(Endpoint("http://127.0.0.1:8080", KEY.read_text().strip()))
    jobs, holders = processes("sleep"), processes("python3")
    began = time.time()
    subprocess.run(["systemctl", "restart", "ffmpeg-worker"], check=True)
    ready = time.time()
    # No heartbeat that came after this one's start was the old worker's.
    worker, born = service("MainPID"), service("ExecMainStartTimestamp") / 1e6
    watched = told = 0.0
    while not (watched and told):
        if not watched and holders.keys() <= watched_by(worker):
            watched = time.time()
        heard = [
            datetime.fromisoformat(job.updated_at).timestamp()
            for job in master.jobs(state="running")
        ]
        if not told and len(heard) == len(jobs) and min(heard) > born:
            told = max(heard)
        time.sleep(0.01)
    assert processes("sleep") == jobs
    assert processes("python3") == holders
    seconds = {"ready": ready - began, "watched": watched - began, "told": told - began}
    print(json.dumps({"jobs": len(jobs), "holders": len(holders), **seconds}))


main()
