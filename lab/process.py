"""A machine as a process of the host: is it there, end it, clear up after it."""

import os
import select
import signal
from contextlib import suppress
from pathlib import Path

from lab import cache, container
from lab.spec import Spec


def pid_of(spec: Spec) -> int | None:
    """The machine's process on the host, while it runs."""
    try:
        pid = int((spec.run / "pid").read_text())
        line = Path(f"/proc/{pid}/cmdline").read_text()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    return pid if spec.name in line and state != "Z" else None


def alive(spec: Spec) -> bool:
    return pid_of(spec) is not None


def wait_for_end(spec: Spec, timeout_seconds: float) -> bool:
    """Whether it ended in time."""
    pid = pid_of(spec)
    if pid is None:
        return True
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], timeout_seconds)[0])
    finally:
        os.close(handle)


def kill(spec: Spec) -> None:
    pid = pid_of(spec)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_for_end(spec, 10.0)


def throw_away(spec: Spec) -> None:
    """After its end: remove all that is left of it."""
    if spec.backend == "container":
        container.clean(spec)
    cache.remove(spec.place)
    cache.remove(spec.run)
