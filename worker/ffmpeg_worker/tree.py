"""Directories that jobs may write in: measured and removed, however deep they are nested.

A job can nest more of them than Python may call functions, than a path has room for, and than a
process has descriptors. So the way goes down by name and up by "..", with one descriptor.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

#: The unit of st_blocks (stat(2)).
BLOCK_BYTES: Final = 512
#: What a name counts for at least: a million of empty files are no work of a moment either.
LEAST_BLOCKS: Final = 8
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Entry:
    """A name in an open folder; good until the next one is asked for."""

    folder: int  #: descriptor
    name: str
    found: os.stat_result  #: of a link, the link's own

    @property
    def is_folder(self) -> bool:
        """Whether it is a directory, and no link to one."""
        return stat.S_ISDIR(self.found.st_mode)


@dataclass(frozen=True)
class _Level:
    """A folder on the way from the top to where we are."""

    identity: tuple[int, int]
    ahead: list[tuple[str, os.stat_result]] = field(default_factory=list)  #: folders, last first


def used_bytes(path: Path) -> int:
    """What a file, or a directory with all that is in it, takes on its volume; 0 where it is
    not. Follows no links. A name in it counts as 4 KiB at least."""
    try:
        own = path.lstat()
    except OSError:  # it went away meanwhile, or is not ours to read
        return 0
    inner = entries(path) if stat.S_ISDIR(own.st_mode) else ()
    blocks = sum(max(LEAST_BLOCKS, entry.found.st_blocks) for entry in inner)
    return BLOCK_BYTES * (own.st_blocks + blocks)


def remove_tree(directory: Path) -> None:
    """Remove a directory with all that is in it, also what its owner closed to himself.

    Raises OSError where something stays.
    """
    for entry in entries(directory, reopen=True):
        remove = os.rmdir if entry.is_folder else os.unlink
        with suppress(OSError):  # then the directory is not empty in the end
            remove(entry.name, dir_fd=entry.folder)
    directory.rmdir()


def _ignore(_error: OSError) -> None:
    """It went away meanwhile, or is not ours to read."""


def entries(
    top: Path, tell: Callable[[OSError], None] = _ignore, *, reopen: bool = False
) -> Iterator[Entry]:
    """All that is below ``top``, what is in a folder before the folder itself. Follows no links.

    ``tell`` hears of what cannot be read, which comes as if it were empty. ``reopen``: a folder
    that is closed is opened to its owner first.
    """
    try:
        here = os.open(top, _FOLDER)
    except OSError as error:
        tell(error)
        return
    way = [_Level(_identity(here))]
    try:
        yield from _read(here, way[-1], tell)
        while True:
            if not way[-1].ahead:
                way.pop()
                if not way:
                    return
                here = _step(here, os.open("..", _FOLDER, dir_fd=here))
                if _identity(here) != way[-1].identity:  # moved meanwhile: not our way any more
                    return
            elif (below := _open(here, way[-1].ahead[-1][0], tell, reopen=reopen)) is not None:
                here = _step(here, below)
                way.append(_Level(_identity(here)))
                yield from _read(here, way[-1], tell)
                continue
            yield Entry(here, *way[-1].ahead.pop())
    except OSError as error:  # the folder that we are in was removed
        tell(error)
    finally:
        os.close(here)


def _read(here: int, level: _Level, tell: Callable[[OSError], None]) -> Iterator[Entry]:
    """What is in the folder, but other folders, which are put into ``level``."""
    for name in os.listdir(here):
        try:
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
        except OSError as error:
            tell(error)
            continue
        if stat.S_ISDIR(found.st_mode):
            level.ahead.append((name, found))
        else:
            yield Entry(here, name, found)


def _open(here: int, name: str, tell: Callable[[OSError], None], *, reopen: bool) -> int | None:
    try:
        # Not as root, who needs it nowhere: the name could by now be a link to something else.
        if reopen and not os.access(name, os.R_OK | os.W_OK | os.X_OK, dir_fd=here):
            os.chmod(name, 0o700, dir_fd=here)
        return os.open(name, _FOLDER, dir_fd=here)
    except OSError as error:
        tell(error)
        return None


def _step(here: int, there: int) -> int:
    os.close(here)
    return there


def _identity(folder: int) -> tuple[int, int]:
    found = os.fstat(folder)
    return found.st_dev, found.st_ino
