"""What the worker costs while nothing runs, and what each running job adds to it.

Memory is PSS (proc(5), smaps_rollup): pages that processes share are counted once.
The jobs are real encodes, slowed to real time, so that they leave the machine room.
"""

import json
from typing import Any

from lab.machine import Machine

from bench import farm, table

#: Of the idle worker, and of what each job adds.
AIMS = ("< 40 MiB, < 0.2 %", "< 8 MiB, < 0.3 %")
JOBS = 8
WATCH_SECONDS = 60
#: The job's input is read at the speed of playing it.
PACED = '#!/bin/sh\nexec /usr/bin/ffmpeg.real -readrate 1 "$@"\n'


def main() -> None:
    """Measure and print."""
    asked = farm.parser(__doc__).parse_args()
    with farm.farm(asked.suite, asked.backend, slots=JOBS) as machine:
        farm.in_place_of_ffmpeg(machine, PACED)
        program = farm.push_inside(machine, "processes.py")
        machine.run("sleep 5", check=True)
        idle = _look(machine, program)
        for _ in range(JOBS):
            submit = "ffmpeg-jobs submit --scenario preview --duration 600 --timeout 900"
            machine.run(f"{submit} --memory 256 --disk 100", check=True)
        # Each holder, and no nursery any more: it ends half a minute after the last was forked.
        running = f"test $(pgrep -fc [n]ursery\\.) -eq {JOBS}"
        machine.wait_until(running, timeout=120)
        machine.run("sleep 5", check=True)
        busy = _look(machine, program)
    rows = [
        ("worker, idle", *_figures(idle["worker"]), AIMS[0]),
        (f"worker, {JOBS} jobs", *_figures(busy["worker"]), ""),
        ("launcher", *_figures(busy["launcher"]), ""),
        ("holder, each", *_figures(busy["holder"], JOBS), ""),
        ("bwrap, each job", *_figures(busy["bwrap"], JOBS), ""),
        ("per job, all of ours", *_per_job(idle, busy), AIMS[1]),
    ]
    head = ("", "MiB", "% of a core", "aim")
    table.show(f"At rest and at work, over {WATCH_SECONDS} s", head, rows)


def _look(machine: Machine, program: str) -> dict[str, Any]:
    done = machine.run(f"/usr/bin/python3 {program} {WATCH_SECONDS}", check=True, timeout=300)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _figures(found: dict[str, float], among: int = 1) -> tuple[float, float]:
    return found["pss_mib"] / among, found["cpu_percent"] / among


def _per_job(idle: dict[str, Any], busy: dict[str, Any]) -> tuple[float, float]:
    def added(what: str) -> float:
        ours = ("worker", "launcher", "holder", "bwrap")
        return sum(float(busy[name][what] - idle[name][what]) for name in ours) / JOBS

    return added("pss_mib"), added("cpu_percent")


if __name__ == "__main__":
    main()
