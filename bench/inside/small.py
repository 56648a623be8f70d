"""Run many clips through the installed farm and through xargs, or time one start after another.

small.py farm PLACES CLIP COUNT
small.py xargs PLACES CLIP COUNT COMMAND...
small.py alone TIMES COMMAND...
small.py start TIMES
Prints JSON. In COMMAND, {} stands for the number of the clip.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cgroups import processes, rest, scopes, since, snapshot

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import FINAL_STATES, State
from ffmpeg_worker import jobdir
from ffmpeg_worker.plan import Plan

KEY = Path("/etc/ffmpeg-worker/admin-key")
JOBS = Path("/var/lib/ffmpeg-worker/jobs")
OUTPUT = Path("/var/lib/ffmpeg-worker/output")
#: Between looks at the scopes, and at a job's end.
LOOK_SECONDS = 0.005
#: Before the next start: all that the last one left to do is done.
PAUSE_SECONDS = 0.3
PATIENCE_SECONDS = 600
QUEUED, RUNNING = State.QUEUED.value, State.RUNNING.value


def client() -> MasterClient:
    """The master of this machine."""
    return MasterClient(Endpoint("http://127.0.0.1:8080", KEY.read_text().strip()))


def jobs(clip: str, count: int) -> list[dict[str, Any]]:
    """One for each clip, with an output of its own."""
    return [
        {
            "scenario": "preview",
            "input": clip.replace("{}", str(number)),
            "output": str(OUTPUT / f"farm-{Path(clip).parent.name}-{number}.mp4"),
        }
        for number in range(count)
    ]


def farm(places: str, clip: str, count: str) -> dict[str, Any]:
    """From submit until all are completed; what was idle while a job waited; CPU by service."""
    master, clips = client(), int(count)
    warm = _warm(master, clip)
    rest()
    before, begun = snapshot(), time.monotonic()
    submitted = master.submit_batch(jobs(clip, clips))
    idle = _idle_until_all_started(int(places), clips)
    while any(any(master.jobs(limit=1, state=state)) for state in (QUEUED, RUNNING)):
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - begun
    time.sleep(1)  # what is left to do after a result is a job's cost too
    cpu = since(before)
    done = [master.job(job.id) for job in submitted]
    assert {job.state for job in done} == {State.COMPLETED}, [job.error for job in done]
    wall = [job.usage.wall_seconds for job in done if job.usage and job.usage.wall_seconds]
    size = sum(Path(str(job.job.output)).stat().st_size for job in done)
    return {
        "seconds": seconds,
        "cpu": cpu,
        "idle": idle,
        "held": statistics.fmean(wall),
        "size": size,
        "run": warm.run,
        "probe": warm.probe,
    }


def _warm(master: MasterClient, clip: str) -> Plan:
    """Run one, so that everything is started; how it was done."""
    job, plans = master.submit(jobs(clip, 1)[0]), []
    while master.job(job.id).state not in FINAL_STATES:
        with suppress(FileNotFoundError):
            plans += jobdir.recorded(JOBS)
        time.sleep(LOOK_SECONDS)
    return plans[0]


def _idle_until_all_started(places: int, clips: int) -> float:
    """The part of the places in which nothing was encoded, or about to be, while a job waited."""
    seen: set[str] = set()
    looks = held = 0
    give_up = time.monotonic() + PATIENCE_SECONDS
    while len(seen) < clips or scopes():
        now = scopes()
        seen |= now
        if len(seen) < clips:
            looks, held = looks + 1, held + sum(map(_encodes, now))
        assert time.monotonic() < give_up, seen
        time.sleep(LOOK_SECONDS)
    return 1 - held / (looks * places)


def _encodes(scope: str) -> bool:
    """Whether the holder still has its gate: it closes it when ffmpeg has ended."""
    for pid in processes(scope):
        with suppress(OSError):
            if str(Path(f"/proc/{pid}/fd/0").readlink()).startswith("socket:"):
                return True
    return False


def xargs(places: str, _clip: str, count: str, *command: str) -> dict[str, Any]:
    """The same by xargs; of its children, too, it knows the CPU time."""
    numbers = "\n".join(map(str, range(int(count))))
    argv = ["xargs", "-P", places, "-I{}", *command]
    rest()
    cpu, begun = _children_cpu(), time.monotonic()
    quiet = subprocess.DEVNULL
    subprocess.run(argv, input=numbers, text=True, stdout=quiet, stderr=quiet, check=True)
    seconds = time.monotonic() - begun
    sizes = [path.stat().st_size for path in OUTPUT.glob("xargs-*.mp4")]
    return {"seconds": seconds, "cpu": _children_cpu() - cpu, "size": sum(sizes)}


def alone(times: str, *command: str) -> float:
    """CPU seconds of a command."""
    cpu, quiet = _children_cpu(), subprocess.DEVNULL
    for _ in range(int(times)):
        subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, check=True)
    return (_children_cpu() - cpu) / int(times)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def start(times: str) -> dict[str, Any]:
    """Milliseconds from each submit to the first act of what stands in ffmpeg's place, with
    nothing else to do; and the CPU seconds of its scope."""
    master = client()
    rest()
    waits: list[float] = []
    before: dict[str, float] = {}
    for number in range(int(times) + 1):  # the first one starts the launcher and the nursery
        time.sleep(PAUSE_SECONDS)
        before = before or (snapshot() if number else {})
        sent = time.time_ns()
        job = master.submit({"parameters": {"duration": 1}, "max_attempts": 1})
        while (now := master.job(job.id)).state not in FINAL_STATES:
            time.sleep(PAUSE_SECONDS / 4)
        waits.append((int(now.log_tail[-1]) - sent) / 1e6)
    jobs_cpu = since(before)["jobs"] / int(times)
    return {"ms": waits[1:], "jobs_cpu": jobs_cpu}


STEPS: dict[str, Callable[..., Any]] = {
    "farm": farm,
    "xargs": xargs,
    "alone": alone,
    "start": start,
}
print(json.dumps(STEPS[sys.argv[1]](*sys.argv[2:])))
