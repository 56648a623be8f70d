"""Give a file a name that must be free, or another file's, in one step each (renameat2(2))."""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

#: linux/fs.h
RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2
#: A file system that does not know the flag, or a kernel or filter that does not know the call.
_UNKNOWN: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
#: One without hard links, or that does not let us make them.
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@dataclass(frozen=True)
class Name:
    """A name in an open folder."""

    folder: int
    name: str


def take(source: Name, target: Name) -> None:
    """Rename, where the name is free. Raises FileExistsError, or another OSError.

    On a volume that knows neither renameat2's flag nor hard links it is looked at before, and who
    takes the name between is replaced.
    """
    if _renameat2(source, target, RENAME_NOREPLACE):
        return
    try:
        os.link(
            source.name,
            target.name,
            src_dir_fd=source.folder,
            dst_dir_fd=target.folder,
            follow_symlinks=False,
        )
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        os.unlink(source.name, dir_fd=source.folder)
        return
    with suppress(FileNotFoundError):
        os.stat(target.name, dir_fd=target.folder, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target.name)
    replace(source, target)


def replace(source: Name, target: Name) -> None:
    """Rename over what is there. Raises OSError."""
    os.replace(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder)


def exchange(one: Name, other: Name) -> bool:
    """Give each the other's name; False: the volume cannot. Raises OSError."""
    return _renameat2(one, other, RENAME_EXCHANGE)


def _renameat2(source: Name, target: Name, flag: int) -> bool:
    """False: it is not known here. Raises OSError."""
    call = _libc().renameat2
    words = (source.folder, os.fsencode(source.name), target.folder, os.fsencode(target.name))
    if call(*words, flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), target.name)


@cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.renameat2.argtypes = (
        *(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint),
    )
    return libc
