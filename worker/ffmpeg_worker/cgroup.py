"""What the kernel says: the cgroup of a process, its files, the controllers that are offered."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ffmpeg_worker.capacity import Caps
from ffmpeg_worker.limits import CONTROLLERS, MIB

CGROUPS: Final = Path("/sys/fs/cgroup")


def cgroup_of(pid: int) -> Path | None:
    """The directory of a process's cgroup; None: it ended, or systemd put it in none."""
    try:
        return cgroup_in(Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def cgroup_in(text: str) -> Path | None:
    """The cgroup that /proc/PID/cgroup tells of: of version 2, else of the hierarchy of version 1
    in which systemd keeps its units, and which limits nothing (cgroups(7))."""
    paths = {}
    for line in text.splitlines():
        _, kind, path = line.split(":", 2)
        paths[kind] = path.lstrip("/")
    if "" in paths:
        return CGROUPS / paths[""]
    return CGROUPS / "systemd" / paths["name=systemd"] if "name=systemd" in paths else None


def read_back(cgroup: Path, names: list[str]) -> dict[str, str | None]:
    """What the kernel says in the given files of a cgroup; None for a file that is not there."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = (cgroup / name).read_text(encoding="ascii").strip()
        except OSError:
            found[name] = None
    return found


def is_empty(cgroup: Path) -> bool:
    """Whether nothing runs in it or below; not told by version 1, as long as it is there."""
    try:
        return "populated 0" in (cgroup / "cgroup.events").read_text(encoding="ascii")
    except OSError:
        return not cgroup.exists()


def offered_controllers(directory: Path = CGROUPS) -> tuple[str, ...]:
    """The controllers that limits need, as far as this cgroup offers them to those below it."""
    try:
        offered = (directory / "cgroup.controllers").read_text(encoding="ascii").split()
    except OSError:  # version 1, or no cgroups at all
        return ()
    return tuple(name for name in (*CONTROLLERS, "io") if name in offered)


def caps(cgroup: Path) -> Caps:
    """What all below this cgroup together are held to; nothing where it is not there (yet).

    Of memory, what they get without being slowed down.
    """
    found = read_back(cgroup, ["cpu.max", "memory.max", "memory.high"])
    quota, _, period = (found["cpu.max"] or "max").partition(" ")
    by_name = {"MemoryHigh": found["memory.high"], "MemoryMax": found["memory.max"]}
    bounds = [(int(text) // MIB, name) for name, text in by_name.items() if text and text != "max"]
    memory_mb, memory_by = min(bounds, default=(None, "MemoryMax"))
    return Caps(
        cgroup.name,
        cpu_percent=None if quota == "max" else int(quota) * 100 // int(period),
        memory_mb=memory_mb,
        memory_by=memory_by,
    )
