"""Paths below the operator's roots: walked once, name by name, each in the folder that was opened.

Links are read before that, and may lead from root to root. What is then opened is what was checked:
whoever swaps a folder for a link meanwhile is refused, because none is gone through any more
(O_NOFOLLOW in open(2)). A descriptor is of O_PATH: it opens nothing, and says where something is.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

_STEP: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

#: Makes a name in an open folder; the third is its whole path.
Make = Callable[[int, str, str], None]


class Outside(Exception):
    """The path leads out of the roots; to where, are its words."""


def reach(path: str, roots: Sequence[str]) -> int:
    """A descriptor of the file or folder; close it. Raises OSError or Outside."""
    top, names = _way(os.path.realpath(path, strict=True), roots)
    return _follow(top, names, None)


def enter(path: str, roots: Sequence[str], make: Make) -> int:
    """A descriptor of the folder, of which ``make`` makes what is missing, a root too (a tenant's
    own); close it.

    Raises OSError or Outside.
    """
    top, names = _way(os.path.realpath(path), roots)
    while not os.path.lexists(top):
        top, names = str(Path(top).parent), (Path(top).name, *names)
    here = _follow(top, names, make)
    if stat.S_ISDIR(os.fstat(here).st_mode):
        return here
    os.close(here)
    raise _error(errno.ENOTDIR, path)


def by_descriptor(descriptor: int) -> str:
    """A path for calls that take no descriptor of O_PATH: it leads to the same file, wherever that
    is now (proc(5))."""
    return f"/proc/self/fd/{descriptor}"


def _way(real: str, roots: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The root that a path without links is below, and the names from there."""
    for name in roots:
        root = os.path.realpath(name)
        if Path(real).is_relative_to(root):
            return root, Path(real).relative_to(root).parts
    raise Outside(real)


def _follow(top: str, names: Sequence[str], make: Make | None) -> int:
    here, path = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), top
    try:
        for name in names:
            path = f"{path.rstrip('/')}/{name}"
            here = _step(here, name, path, make)
    except OSError:
        os.close(here)
        raise
    return here


def _step(here: int, name: str, path: str, make: Make | None) -> int:
    """From a folder to what is in it, which is no link; closes the folder."""
    try:
        there = os.open(name, _STEP, dir_fd=here)
    except FileNotFoundError:
        if make is None:
            raise
        make(here, name, path)
        there = os.open(name, _STEP, dir_fd=here)
    if stat.S_ISLNK(os.fstat(there).st_mode):  # it was none when links were read
        os.close(there)
        raise _error(errno.ELOOP, path)
    os.close(here)
    return there


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
