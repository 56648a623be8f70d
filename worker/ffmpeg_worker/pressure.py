"""Pressure stall information (Documentation/accounting/psi.rst of the kernel): for how much of
the last ten seconds some job had to wait for CPU, memory or disk."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RESOURCES: Final = ("cpu", "memory", "io")
SYSTEM: Final = Path("/proc/pressure")
_SOME: Final = re.compile(r"^some avg10=([0-9.]+)", re.MULTILINE)


@dataclass(frozen=True)
class Pressure:
    """Percent of time per resource; None where the kernel does not say."""

    source: str | None  #: the cgroup's name, "system", or None: no pressure is known
    percent: Mapping[str, float | None]


def read_pressure(jobs: Path, system: Path = SYSTEM) -> Pressure:
    """The pressure of all jobs, by their cgroup; of the whole system while that is not there; of
    nothing where the kernel was built or started without it (psi=0)."""
    for source, directory, ending in ((jobs.name, jobs, ".pressure"), ("system", system, "")):
        found = {name: _some(directory / f"{name}{ending}") for name in RESOURCES}
        if any(percent is not None for percent in found.values()):
            return Pressure(source, found)
    return Pressure(None, dict.fromkeys(RESOURCES))


def _some(file: Path) -> float | None:
    try:
        text = file.read_text(encoding="ascii")
    except OSError:  # not there, or EOPNOTSUPP with psi=0
        return None
    found = _SOME.search(text)
    return float(found[1]) if found else None
