"""Processes by a descriptor that cannot come to mean another one (pidfd_open(2))."""

from __future__ import annotations

import select
from pathlib import Path


def pid_of(descriptor: int) -> int | None:
    """The pid behind a pidfd (proc(5), fdinfo); None: it is none, or its process was reaped.

    Raises OSError where the machine is out of something.
    """
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines():
        if line.startswith("Pid:"):
            pid = int(line.split()[1])
            return pid if pid > 0 else None
    return None


def has_ended(pidfd: int) -> bool:
    """Whether the process is a zombie or gone: its pidfd can be waited for."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
