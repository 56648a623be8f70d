"""What people ask of the worker without a network: files in ``control`` of its state directory.

``drain`` and ``stop-jobs`` are requests, each there until it is taken back or done; the worker's
answer is ``state.json``. Who may write in the directory may ask: root and ffmpeg-operators.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

DRAIN: Final = "drain"
STOP_JOBS: Final = "stop-jobs"
STATE: Final = "state.json"
LOCK: Final = "worker.lock"
#: Why, where nobody says it.
ASKED_HERE: Final = "asked on the machine"
#: A file while it is written; the end is of tempfile.mkstemp.
UNWRITTEN: Final = re.compile(r"\.(drain|stop-jobs|state\.json)\.[a-z0-9_]{8}\Z")


@dataclass(frozen=True)
class Request:
    """What was asked: ``drain``, or ``stop-jobs``."""

    name: str
    why: str
    until: float | None  #: Unix seconds; what still runs then is given back; None: it may finish
    asked_ns: int  #: when, as the file's time says; which request the state answers


@dataclass(frozen=True)
class State:
    """What the worker says: how many jobs it holds, and which request it follows."""

    running: int = 0
    draining: str | None = None  #: why; None: it takes jobs
    answers_ns: int = 0  #: asked_ns of the newest request that it has seen


def requests(directory: Path) -> list[Request]:
    """What is asked now. A file without our JSON, as touch(1) makes it, asks too, and whatever
    else somebody put there: he did not mean nothing by it."""
    found = (_read(directory / name) for name in (STOP_JOBS, DRAIN))
    return [request for request in found if request is not None]


def ask(
    directory: Path, name: str, why: str, until: float | None, *, this_boot: bool = False
) -> int:
    """Write a request down; its ``asked_ns``. Raises OSError.

    ``this_boot``: it is over when the machine starts anew.
    """
    content: dict[str, Any] = {"why": why, "until": until}
    if this_boot:
        content["boot"] = boot_id()
    _write(directory / name, content, mode=0o644)
    return (directory / name).stat().st_mtime_ns


def withdraw(directory: Path, name: str) -> bool:
    """Take a request back; whether there was one. Raises OSError."""
    try:
        (directory / name).unlink()
    except FileNotFoundError:
        return False
    except IsADirectoryError:
        (directory / name).rmdir()
    return True


def tell(directory: Path, state: State) -> None:
    """Answer those who asked; a full disk is no reason to fail."""
    with suppress(OSError):
        _write(directory / STATE, asdict(state), mode=0o640)


def told(directory: Path) -> State:
    """The worker's last answer."""
    try:
        return State(**json.loads((directory / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return State()


def make(directory: Path) -> int | None:
    """Make the directory and hold its lock as long as this process lives; the descriptor.

    None: another worker holds it, or the directory cannot be written.
    """
    try:
        directory.mkdir(mode=0o2775, parents=True, exist_ok=True)
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def worker_runs(directory: Path) -> bool:
    """Whether a worker holds the directory's lock."""
    try:
        lock = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _read(path: Path) -> Request | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(file)
            text = os.read(file, 4096) if stat.S_ISREG(found.st_mode) else b""
        finally:
            os.close(file)
    except FileNotFoundError:
        return None
    except OSError:  # it asks, in words that we cannot read
        return Request(path.name, ASKED_HERE, _now_if_stop(path.name), 0)
    content = _parsed(text)
    if content.get("boot", boot_id()) != boot_id():
        return None
    until = content.get("until", _now_if_stop(path.name))
    return Request(
        path.name,
        str(content.get("why") or ASKED_HERE),
        float(until) if isinstance(until, int | float) else None,
        found.st_mtime_ns,
    )


def boot_id() -> str:
    """The kernel's name of this boot (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _now_if_stop(name: str) -> float | None:
    return 0.0 if name == STOP_JOBS else None


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        # A whole number of any length is none that a time can be.
        content = json.loads(text.decode("utf-8", "replace"), parse_int=float)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: dict[str, Any], mode: int) -> None:
    """Whole or not at all; a name that others may have laid there is replaced, not followed."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(handle, mode)
            json.dump(content, file)
            file.flush()
            os.fsync(handle)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
