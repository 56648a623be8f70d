"""What is slow to make is made once: built aside, renamed into place, locked.

Every thing in the cache has a lock file. Its builder holds it exclusively, so
others wait for one build; whoever uses it holds it shared, so nobody prunes it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lab.progress import say

# Prefix of a name, and how many unused ones are worth their place on the disk.
KEEP = {
    "chroot-bookworm-": 1,
    "base-bookworm-": 1,
    "base-trixie-": 1,
    "guest-": 4,
    "depends-": 4,
    "disk-": 4,
}


@dataclass(frozen=True)
class Held:
    """Something in the cache, kept from being pruned while `lock` is open."""

    path: Path
    lock: int

    def release(self) -> None:
        os.close(self.lock)


def directory() -> Path:
    """The cache: $FFMPEG_LAB_CACHE, or /var/cache/ffmpeg-lab."""
    path = Path(os.environ.get("FFMPEG_LAB_CACHE") or "/var/cache/ffmpeg-lab")
    (path / "locks").mkdir(parents=True, exist_ok=True)
    return path


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lock_file(name: str) -> int:
    path = directory() / "locks" / name
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.utime(path)  # what was used last is pruned last
    return lock


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of that name alone."""
    lock = _lock_file(name)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another user of {name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def obtain(name: str, build: Callable[[Path], None]) -> Held:
    """The cached file or directory of that name; `build(path)` makes it if missing.

    What `build` leaves at the path it is given becomes visible all at once.
    """
    target = directory() / name
    while True:
        lock = _lock_file(name)
        fcntl.flock(lock, fcntl.LOCK_SH)
        if target.exists():
            return Held(target, lock)
        os.close(lock)
        with locked(name):
            if not target.exists():
                _build(target, build)
        prune()


def _build(target: Path, build: Callable[[Path], None]) -> None:
    temporary = target.with_name(f"new-{target.name}")
    remove(temporary)  # of a builder that was killed; we hold the lock
    try:
        build(temporary)
        temporary.rename(target)
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Remove it, but nothing that is mounted below: a build that was killed leaves the host's
    /dev/shm there."""
    if path.is_dir() and not path.is_symlink():
        below = [mount for mount in _mounts() if mount.is_relative_to(path.resolve())]
        for mount in sorted(below, reverse=True):
            subprocess.run(["umount", "--lazy", str(mount)], check=False, capture_output=True)
        if not any(mount.is_relative_to(path.resolve()) for mount in _mounts()):
            shutil.rmtree(path, ignore_errors=True)
    with suppress(FileNotFoundError, IsADirectoryError):
        path.unlink()


def _mounts() -> list[Path]:
    """Where file systems are mounted (proc_pid_mountinfo(5)); none of ours has a space."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [Path(line.split()[4]) for line in lines]


def prune() -> None:
    """Remove what nobody uses, the least recently used first."""
    for prefix, keep in KEEP.items():
        names = [path.name for path in directory().glob(f"{prefix}*")]
        names.sort(key=_last_used, reverse=True)
        for name in names[keep:]:
            _remove_unused(name)


def _last_used(name: str) -> float:
    path = directory() / "locks" / name
    return path.stat().st_mtime if path.exists() else 0.0


def _remove_unused(name: str) -> None:
    lock = os.open(directory() / "locks" / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        remove(directory() / name)
    finally:
        os.close(lock)
