"""All that is known when an attempt has ended, and what ffmpeg complained of. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from ffmpeg_jobs.model import Usage


@dataclass(frozen=True)
class Facts:
    """All that is known when an attempt has ended."""

    #: ffmpeg's, or of the ffprobe after it; -N: ended by signal N; None: nobody was left to see it
    exit_status: int | None
    scope_result: str | None  #: systemd's Result of the scope; None: not known any more
    terminated: bool = False  #: SIGTERM came to the whole scope
    oom_kills: int = 0  #: oom_kill in memory.events
    met_its_limit: bool = True  #: oom in memory.events: the limit was its own, not the machine's
    timed_out: bool = False  #: it ran for all of its time
    #: who had it stopped: cancel, lost, disk, volume, or as in HANDED_BACK; None: nobody of ours
    stop_asked_by: str | None = None
    stderr_tail: tuple[str, ...] = ()  #: the end of ffmpeg's log, lines with their level
    usage: Usage = field(default_factory=Usage)
    disk_free_percent: float | None = None
    disk_used_mb: int | None = None  #: by its own files, where that is why it was stopped
    enforced: bool = True
    memory_limit_mb: int = 0
    disk_limit_mb: int = 0
    timeout_sec: int = 0


def complaints(facts: Facts) -> list[str]:
    """What ffmpeg and bwrap complained of, first things first.

    Lines look like ``[libx264 @ 0x55d0c0de] [error] message``; bwrap's begin with its name.
    """
    found = (_COMPLAINT.match(line) for line in facts.stderr_tail)
    lines = (match[1] or match[2] for match in found if match)
    return [
        re.sub(r"\[[^\[\]]+ @ 0x[0-9a-f]+\] |file:/(?=(input|output)\b)", "", li) for li in lines
    ]


_COMPLAINT: Final = re.compile(
    r"(?:\[[^\[\]]+ @ 0x[0-9a-f]+\] )*\[(?:error|fatal|panic)\] (.+)|(bwrap: .+)"
)


def was_killed(facts: Facts) -> bool:
    """By a signal that people send: bwrap dies of SIGTERM, ffmpeg says that it got it."""
    polite = any("Exiting normally, received signal" in line for line in facts.stderr_tail)
    return (
        facts.exit_status in (-9, -15)
        or (facts.exit_status == 255 and polite)
        or (facts.exit_status is not None and facts.terminated)
    )


def ended_by_itself(facts: Facts) -> bool:
    """Whether the kernel, systemd's clock or ffmpeg ended it, and no stop that was asked for: it
    may have come too late, or not been carried out."""
    by_systemd = facts.timed_out or facts.scope_result in ("oom-kill", "timeout")
    if by_systemd or facts.oom_kills > 0:
        return True
    return facts.exit_status is not None and not was_killed(facts)
