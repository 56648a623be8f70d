"""The kernel's counters of a cgroup (cgroup-v2.rst), as an attempt's usage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ffmpeg_jobs.model import Usage
from ffmpeg_worker.holder import COUNTERS


def read_usage(cgroup: Path) -> Usage:
    """The usage of a living cgroup, so far; what it does not count is None."""
    counters: dict[str, str] = {}
    for name in COUNTERS:
        try:
            counters[name] = (cgroup / name).read_text(encoding="ascii")
        except OSError:
            continue
    return usage_from_counters(counters, None)


def usage_from_counters(counters: Mapping[str, str], wall_seconds: float | None) -> Usage:
    """The usage that the texts of a cgroup's files tell, by their names."""
    cpu = flat_keyed(counters.get("cpu.stat", ""))
    peak = counters.get("memory.peak", "").strip()
    read, written = _bytes_of(counters.get("io.stat", ""))
    return Usage(
        cpu_seconds=_seconds(cpu.get("usage_usec")),
        cpu_user_seconds=_seconds(cpu.get("user_usec")),
        cpu_system_seconds=_seconds(cpu.get("system_usec")),
        throttled_seconds=_seconds(cpu.get("throttled_usec")),
        memory_peak_bytes=int(peak) if peak.isdigit() else None,
        read_bytes=read,
        written_bytes=written,
        wall_seconds=wall_seconds,
    )


def memory_events(text: str) -> dict[str, int]:
    """The counts in memory.events: how often a limit was met, how often the kernel killed."""
    return flat_keyed(text)


def flat_keyed(text: str) -> dict[str, int]:
    """A "flat keyed" cgroup file: a name and a number a line."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else round(microseconds / 1e6, 6)


def _bytes_of(text: str) -> tuple[int | None, int | None]:
    """Bytes read and written over all devices: ``8:0 rbytes=1 wbytes=2 ...`` a line."""
    if not text:
        return None, None
    sums = {"rbytes": 0, "wbytes": 0}
    for line in text.splitlines():
        for part in line.split()[1:]:
            name, _, value = part.partition("=")
            if name in sums and value.isdigit():
                sums[name] += int(value)
    return sums["rbytes"], sums["wbytes"]
