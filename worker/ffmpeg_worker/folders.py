"""The folders that jobs need: which of them can be used now, and what is wrong with the others."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ffmpeg_worker.config import Config
from ffmpeg_worker.roots import before_tenant, is_own
from ffmpeg_worker.surroundings import account

#: What access(2) is asked for.
_READ: Final = os.R_OK | os.X_OK
_WRITE: Final = os.W_OK | os.X_OK
#: Time alone mends none of them.
_FOR_GOOD: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR)


@dataclass(frozen=True)
class Folders:
    """The folders as they were seen."""

    faults: tuple[str, ...] = ()  #: a sentence for each that cannot be used
    mounts: Mapping[Path, Path] = field(default_factory=dict)  #: where the volume of each is
    broken: frozenset[tuple[str, Path]] = frozenset()  #: their settings and paths

    def usable(self, setting: str, paths: Iterable[Path]) -> tuple[str, ...]:
        """Those of a setting that can be used."""
        return tuple(str(path) for path in paths if (setting, path) not in self.broken)


@dataclass(frozen=True)
class _Folder:
    setting: str  #: as in worker.toml
    path: Path
    access: int

    @property
    def shared(self) -> Path:
        """The folder, or that in which each tenant has its own."""
        return before_tenant(self.path) if is_own(self.path) else self.path


def prepare(config: Config) -> str | None:
    """Make the directories of jobs, and say what is wrong if they cannot be used for good.

    Raises OSError for what may pass, such as a full disk.
    """
    try:
        config.jobs_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in _FOR_GOOD:
            raise
        why = "it is no directory" if error.errno == errno.EEXIST else error.strerror
        who = account(os.geteuid())
        return f"state_directory: {error.filename} cannot be made by the account {who}: {why}"
    jobs = _Folder("state_directory", config.jobs_directory, _READ | _WRITE)
    return _fault(_state(config)) or _fault(jobs)


def look(config: Config, before: Mapping[Path, Path]) -> Folders:
    """Look at each folder; ``before``: where the volume of each was mounted then."""
    faults, broken, mounts = [], set(), dict(before)
    for folder in _needed(config):
        fault = _fault(folder) or _unmounted(folder, mounts)
        if fault is not None:
            faults.append(fault)
            broken.add((folder.setting, folder.path))
    return Folders(tuple(faults), mounts, frozenset(broken))


def _state(config: Config) -> _Folder:
    return _Folder("state_directory", config.state_directory, _WRITE)


def _needed(config: Config) -> Iterator[_Folder]:
    yield _state(config)
    for path in config.input_roots:
        yield _Folder("input_roots", path, _READ)
    for path in config.output_roots:
        if is_own(path) and not before_tenant(path).exists():
            continue  # it is made for the first job
        yield _Folder("output_roots", path, _READ if is_own(path) else _WRITE)


def _fault(folder: _Folder) -> str | None:
    why = _unusable(folder.shared, folder.access)
    return None if why is None else f"{folder.setting}: {folder.path}: {why}"


def _unusable(path: Path, access: int) -> str | None:
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            return "Not a directory"
        if os.access(path, access):
            return None
        if access & os.W_OK and os.statvfs(path).f_flag & os.ST_RDONLY:
            return "Read-only file system"
    except OSError as error:
        return str(error.strerror)
    may = "write" if access & os.W_OK else "read"
    return f"Permission denied: the account {account(os.geteuid())} may not {may} there"


def _unmounted(folder: _Folder, mounts: dict[Path, Path]) -> str | None:
    """Whether the volume went away that the folder was on: an empty one is in its place. One that
    is mounted over it only now is the one that is meant."""
    try:
        mount = _mount(folder.shared)
    except OSError as error:
        return f"{folder.setting}: {folder.path}: {error.strerror}"
    before = mounts.setdefault(folder.path, mount)
    if before != mount and before.is_relative_to(mount):
        return f"{folder.setting}: {folder.path}: nothing is mounted at {before} any more"
    mounts[folder.path] = mount
    return None


def _mount(path: Path) -> Path:
    """Where the volume of a folder is mounted."""
    path = path.resolve(strict=True)
    while not path.is_mount():
        path = path.parent
    return path
