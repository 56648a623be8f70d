"""How long from the decision to run a job to ffmpeg's exec, and how many a second.

Peers, in the same machine and run: fork and exec alone, and systemd-run --scope, each with and
without the sandbox that every job of ours runs in.
"""

import json
import shlex
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from lab.machine import Machine

from bench import farm, table

WIDTHS = (1, 8)
OURS = "ffmpeg-worker (sandboxed)"
#: What else keeps limits as we do, around what we run.
PEER = "systemd-run --scope, sandboxed"
#: Of the time, and of how many a second.
AIMS = ("<= 1 x systemd-run", ">= 1 x systemd-run")
#: In ffmpeg's place: it says when it began, and ends.
STAMP = '#!/bin/sh\n[ -d /job ] && set /job/began\nexec date +%s%N > "$1"\n'
SCOPE = (
    "systemd-run --scope --quiet --collect --slice=ffmpeg.slice -p CPUQuota=100%"
    " -p MemoryMax=512M -p TasksMax=512 -p RuntimeMaxSec=60 --uid=ffmpeg-worker"
)

#: What was measured, by how many were in flight.
Found = dict[int, dict[str, Any]]


def main() -> None:
    """Measure and print."""
    options = farm.parser(__doc__)
    options.add_argument("--launches", type=int, default=96, help="of each, 1 and 8 in flight")
    asked = options.parse_args()
    with farm.farm(asked.suite, asked.backend, slots=8) as machine:
        farm.in_place_of_ffmpeg(machine, STAMP)
        for shared in ("held.py", "pid1.py", "cgroups.py"):
            farm.push_inside(machine, shared)
        program = farm.push_inside(machine, "launch_ours.py")
        ours = json.loads(farm.in_place_of_worker(machine, f"{program} {asked.launches}"))
        rows = {OURS: {width: ours[str(width)] for width in WIDTHS}}
        for name, command in _peers(ours["argv"]).items():
            rows[name] = {w: _peer(machine, w, asked.launches, command) for w in WIDTHS}
    _show(rows)


def _peers(argv: list[str]) -> dict[str, str]:
    """The same sandbox around the same program, with folders of their own."""
    end = argv.index("--")
    sandbox = shlex.join(_elsewhere(argv[:end]))
    return {
        "fork and exec": "/usr/bin/ffmpeg STAMP/began",
        "fork and exec, sandboxed": f"{sandbox} -- /usr/bin/ffmpeg",
        "systemd-run --scope": f"{SCOPE} /usr/bin/ffmpeg STAMP/began",
        PEER: f"{SCOPE} {sandbox} -- /usr/bin/ffmpeg",
    }


def _elsewhere(argv: list[str]) -> list[str]:
    """The sandbox without the job's own places: its folder is the launch's, and nobody opens the
    filter of system calls for it."""
    kept: list[str] = []
    rest = iter(argv)
    for part in rest:
        if part == "--seccomp":
            next(rest)
        elif part in ("--bind", "--ro-bind"):
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


def _show(rows: Mapping[str, Found]) -> None:
    head = ("", *(word for width in WIDTHS for word in (f"{width} in flight", "x systemd-run")))
    times = _beside_peer(rows, lambda of: statistics.median(of["ms"]))
    table.show(
        f"Launch: median ms from the decision to the program's first act; x {PEER}",
        (*head, "aim"),
        [(name, *times[name], AIMS[0] if name == OURS else "") for name in rows],
    )
    rates = _beside_peer(rows, lambda of: of["per_second"])
    cost = {name: statistics.fmean(of[w]["pid1_ms"] for w in WIDTHS) for name, of in rows.items()}
    table.show(
        f"Launches a second, from decision to end, and what each costs PID 1; x {PEER}",
        (*head, "PID 1, ms", "aim"),
        [(name, *rates[name], cost[name], AIMS[1] if name == OURS else "") for name in rows],
    )


def _beside_peer(
    rows: Mapping[str, Found], value: Callable[[dict[str, Any]], Any]
) -> dict[str, list[float]]:
    """Of each row the values at each width, each followed by what it is to the peer's."""
    peer = {width: value(rows[PEER][width]) for width in WIDTHS}
    return {
        name: [part for w in WIDTHS for part in (value(of[w]), value(of[w]) / peer[w])]
        for name, of in rows.items()
    }


if __name__ == "__main__":
    main()
