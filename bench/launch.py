"""How long from the decision to run a job to ffmpeg's exec, and how many a second.

Peers, in the same machine and run: fork and exec alone, and systemd-run --scope, each with and
without the sandbox that every job of ours runs in.
"""

import json
import shlex
import statistics
from typing import Any

from lab.machine import Machine

from bench import farm, table

#: In ffmpeg's place: it says when it began, and ends.
STAMP = '#!/bin/sh\n[ -d /job ] && set /job/began\nexec date +%s%N > "$1"\n'
SCOPE = (
    "systemd-run --scope --quiet --collect --slice=ffmpeg.slice -p CPUQuota=100%"
    " -p MemoryMax=512M -p TasksMax=512 -p RuntimeMaxSec=60 --uid=ffmpeg-worker"
)


def main() -> None:
    """Measure and print."""
    options = farm.parser(__doc__)
    options.add_argument("--launches", type=int, default=96)
    asked = options.parse_args()
    with farm.farm(asked.suite, asked.backend, slots=8) as machine:
        farm.in_place_of_ffmpeg(machine, STAMP)
        farm.push_inside(machine, "held.py")
        before = _manager_seconds(machine)
        ours = json.loads(
            farm.in_place_of_worker(machine, farm.push_inside(machine, "launch_ours.py"))
        )
        cost = {"ffmpeg-worker (sandboxed)": _manager_seconds(machine) - before}
        ours_rows = {width: ours[str(width)] for width in (1, 8)}
        rows = {"ffmpeg-worker (sandboxed)": ours_rows}
        for name, command in _peers(ours["argv"]).items():
            before = _manager_seconds(machine)
            rows[name] = {w: _peer(machine, w, asked.launches, command) for w in (1, 8)}
            cost[name] = _manager_seconds(machine) - before
    _show(rows, cost, asked.launches)


def _peers(argv: list[str]) -> dict[str, str]:
    """The same sandbox around the same program, with folders of their own."""
    end = argv.index("--")
    sandbox = shlex.join(_elsewhere(argv[:end]))
    return {
        "fork and exec": "/usr/bin/ffmpeg STAMP/began",
        "fork and exec, sandboxed": f"{sandbox} -- /usr/bin/ffmpeg",
        "systemd-run --scope": f"{SCOPE} /usr/bin/ffmpeg STAMP/began",
        "systemd-run --scope, sandboxed": f"{SCOPE} {sandbox} -- /usr/bin/ffmpeg",
    }


def _elsewhere(argv: list[str]) -> list[str]:
    """The sandbox without the job's own places: its folder is the launch's."""
    kept: list[str] = []
    rest = iter(argv)
    for part in rest:
        if part in ("--bind", "--ro-bind"):
            source, target = next(rest), next(rest)
            if target == "/job":
                source = "STAMP"
            if not source.startswith("/var/lib/ffmpeg-worker"):
                kept += [part, source, target]
        else:
            kept.append(part)
    return kept


def _peer(machine: Machine, width: int, launches: int, command: str) -> dict[str, Any]:
    program = farm.push_inside(machine, "launch_peer.py")
    done = machine.run(
        f"/usr/bin/python3 {program} {width} {launches} {command}", check=True, timeout=600
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _manager_seconds(machine: Machine) -> float:
    """CPU seconds of systemd (PID 1) so far; proc(5): fields 14 and 15, in clock ticks."""
    stat = machine.run("cat /proc/1/stat", check=True).stdout.rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / 100


def _show(
    rows: dict[str, dict[int, dict[str, Any]]], cost: dict[str, float], launches: int
) -> None:
    peer = statistics.median(rows["systemd-run --scope, sandboxed"][1]["ms"])
    table.show(
        "Launch: from the decision to the program's first act",
        (
            "",
            "median ms",
            "8 in flight, ms",
            "a second",
            "8 in flight",
            "PID 1 ms",
            "x systemd-run",
        ),
        [
            (
                name,
                statistics.median(found[1]["ms"]),
                statistics.median(found[8]["ms"]),
                found[1]["per_second"],
                found[8]["per_second"],
                cost[name] * 1000 / (2 * launches),
                statistics.median(found[1]["ms"]) / peer,
            )
            for name, found in rows.items()
        ],
    )


if __name__ == "__main__":
    main()
