"""Memory and CPU of our own processes: processes.py SECONDS"""

import json
import sys
import time
from pathlib import Path

KINDS = {
    "holder": "nursery.",  # of which they are forks
    "launcher": "ffmpeg_worker.launcher",
    "worker": "/usr/bin/ffmpeg-worker",
    "bwrap": "bwrap",
}


def kind_of(command: str) -> str | None:
    """Which of ours it is."""
    return next((kind for kind, mark in KINDS.items() if mark in command), None)


def ours() -> dict[Path, str]:
    """Our processes, by their place in /proc."""
    found: dict[Path, str] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            name = (place / "comm").read_text().strip()
        except OSError:
            continue
        kind = "bwrap" if name == "bwrap" else kind_of(command) if "python" in command else None
        if kind:
            found[place] = kind
    return found


def cpu_ticks(place: Path) -> int:
    """User and system time so far; proc(5): hundredths of a second."""
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def pss_kib(place: Path) -> int:
    """Its own pages, and its share of those that it shares."""
    lines = (place / "smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


seconds = float(sys.argv[1])
processes = ours()
before = {place: cpu_ticks(place) for place in processes}
time.sleep(seconds)
result = {kind: {"pss_mib": 0.0, "cpu_percent": 0.0} for kind in KINDS}
for place, kind in processes.items():
    try:
        result[kind]["cpu_percent"] += (cpu_ticks(place) - before[place]) / seconds
        result[kind]["pss_mib"] += pss_kib(place) / 1024
    except OSError:
        continue
print(json.dumps(result))
