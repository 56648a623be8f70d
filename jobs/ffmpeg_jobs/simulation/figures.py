"""What was measured: how long each thing took, and what went wrong (pure)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Latency:
    """How long one kind of thing took, in seconds."""

    count: int
    median: float
    p95: float
    p99: float
    longest: float


def latency(seconds: Sequence[float]) -> Latency:
    """Of at least one."""
    ordered = sorted(seconds)

    def percentile(percent: int) -> float:
        """The smallest that so many percent do not exceed (nearest rank)."""
        return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]

    return Latency(len(ordered), percentile(50), percentile(95), percentile(99), ordered[-1])


class Figures:
    """Filled while a simulation runs."""

    def __init__(self) -> None:
        self.requests = 0  #: that were answered
        self.errors: Counter[str] = Counter()
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)

    def took(self, kind: str, seconds: float) -> None:
        """One of this kind took so long."""
        self._seconds[kind].append(seconds)

    def failed(self, trouble: Exception) -> None:
        """Something was refused, or not answered."""
        self.errors[str(trouble)] += 1

    def latencies(self) -> dict[str, Latency]:
        """Of each kind that there was."""
        return {kind: latency(seconds) for kind, seconds in self._seconds.items()}
