"""A farm on one machine, driven as its users drive it: by the ffmpeg-jobs command."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lab.command import Result
from lab.machine import Machine

#: Emulated machines encode at a hundredth of a real one's speed.
PATIENCE_SECONDS = 600.0
WORKER_TOML = "/etc/ffmpeg-worker/worker.toml"
#: The folder of a job's first attempt that its sandbox sees as /job.
WORK = "/var/lib/ffmpeg-worker/jobs/{job}.1/work"


@dataclass(frozen=True)
class Farm:
    """The machine, and the words of the command line."""

    machine: Machine

    def run(
        self, command: str | list[str], *, check: bool = True, user: str | None = None
    ) -> Result:
        """Run a command in the machine."""
        return self.machine.run(command, check=check, user=user)

    def submit(self, *flags: str) -> str:
        """Submit a job; its id."""
        return self.run(["ffmpeg-jobs", "submit", *flags]).stdout.strip()

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as the API shows it."""
        shown: dict[str, Any] = json.loads(self.get(f"/jobs/{job_id}"))
        return shown

    def get(self, path: str) -> str:
        """Ask the API."""
        return self.run(self.ask(path)).stdout

    def ask(self, path: str) -> str:
        """The command that asks the API: curl, because an emulated machine takes seconds to
        start Python."""
        key = 'printf "Authorization: Bearer %s" "$(cat /etc/ffmpeg-worker/admin-key)"'
        return f"{key} | curl -sSf -H @- http://127.0.0.1:8080{path}"

    def wait_for(self, job_id: str, *states: str) -> dict[str, Any]:
        """Wait until the job is in one of the states, or in a final one."""
        final = {"completed", "failed", "canceled"}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            job = self.job(job_id)
            if job["state"] in states or job["state"] in final:
                return job
            assert time.monotonic() < deadline, f"{job_id} is still {job['state']}"
            time.sleep(1.0)

    def started(self, job_id: str) -> str:
        """Wait until ffmpeg runs in the job's scope; ffmpeg's pid."""
        script = (
            f"for pid in $(cat {scope(job_id)}/cgroup.procs); do"
            ' [ "$(cat /proc/$pid/comm)" = ffmpeg ] && echo $pid && exit 0; done; exit 1'
        )
        return self.machine.wait_until(
            script, timeout=PATIENCE_SECONDS, interval=0.5
        ).stdout.split()[0]

    def gone(self, job_id: str) -> bool:
        """Whether nothing is left of the job's scope."""
        unit = f"ffmpeg-job-{job_id}.scope"
        loaded = self.run(f"systemctl list-units --all --plain --no-legend '{unit}'").stdout
        return (
            not loaded.strip() and self.run(f"test -e {scope(job_id)}", check=False).returncode == 1
        )

    def end_all(self) -> None:
        """Cancel every job that is not over."""
        for job in json.loads(self.get("/jobs")):
            if job["state"] in ("queued", "running"):
                self.end(job["id"])

    def end(self, job_id: str) -> None:
        """Cancel a job and wait until its worker is free again."""
        self.run(["ffmpeg-jobs", "cancel", job_id], check=False)
        self.wait_for(job_id)
        self.machine.wait_until(f"! test -e {scope(job_id)}")


def scope(job_id: str) -> str:
    """The scope's directory in the cgroup file system."""
    return f"/sys/fs/cgroup/ffmpeg.slice/ffmpeg-job-{job_id}.scope"


@contextmanager
def in_place_of_ffmpeg(farm: Farm, script: str) -> Iterator[None]:
    """Have a script run where ffmpeg would; the real one is /usr/bin/ffmpeg.real meanwhile."""
    divert = "dpkg-divert --local --rename --divert /usr/bin/ffmpeg.real"
    farm.run(f"{divert} --add /usr/bin/ffmpeg")
    farm.machine.write("/usr/bin/ffmpeg", script, 0o755)
    try:
        yield
    finally:
        farm.run(f"rm /usr/bin/ffmpeg; {divert} --remove /usr/bin/ffmpeg")


#: Waits in a job, once it has told who it is; not where the worker tries its encoders.
WAITING = """#!/bin/sh
case "$*" in *file:/job/*)
    cat /proc/self/cgroup > /job/first-act
    while [ ! -e /job/go ]; do sleep 0.1; done
esac
exec /usr/bin/ffmpeg.real "$@"
"""


@contextmanager
def waiting_ffmpeg(farm: Farm) -> Iterator[Callable[[str], None]]:
    """Have each job's ffmpeg wait at its start until the job is let go: a quick machine has
    encoded the whole clip before anybody looked."""

    def let_go(job: str) -> None:
        work = WORK.format(job=job)
        farm.run(f"touch {work}/go")
        runs = f"test -e {work}/progress || ! test -e {work}"
        farm.machine.wait_until(runs, timeout=PATIENCE_SECONDS)

    with in_place_of_ffmpeg(farm, WAITING):
        yield let_go


@contextmanager
def worker_with(farm: Farm, **settings: object) -> Iterator[None]:
    """The worker with other settings than it has, as TOML, or None for the package's; and as it
    was before."""
    before = f"{WORKER_TOML}.{time.monotonic_ns()}"
    edits = "; ".join(
        f"/^{name} =/d" if value is None else f"s|^#* *{name} =.*|{name} = {value}|"
        for name, value in settings.items()
    )
    farm.run(f"cp -p {WORKER_TOML} {before} && sed -i '{edits}' {WORKER_TOML}")
    farm.run("systemctl restart ffmpeg-worker")
    try:
        yield
    finally:
        farm.run(f"mv {before} {WORKER_TOML} && systemctl restart ffmpeg-worker")
