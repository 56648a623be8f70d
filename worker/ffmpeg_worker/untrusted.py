"""Files that a job may write, or may have put something else in the place of.

No link is followed, nobody is waited for at a pipe, and what cannot be read as a file is empty: a
job may spoil what is known of it, and nothing else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK_BYTES: Final = 8192


def head(path: Path, size_bytes: int) -> str:
    """The first ``size_bytes`` of a file; empty where there is none."""
    return _read(path, lambda file: file.read(size_bytes))


def tail(path: Path, size_bytes: int) -> str:
    """The last ``size_bytes`` of a file; empty where there is none."""

    def last(file: BinaryIO) -> bytes:
        file.seek(max(0, file.seek(0, os.SEEK_END) - size_bytes))
        return file.read(size_bytes)

    return _read(path, last)


def until(path: Path, mark: str, most_bytes: int) -> str:
    """A file to the first ``mark`` in it and a little more; at most ``most_bytes`` of it."""
    wanted = mark.encode()

    def first(file: BinaryIO) -> bytes:
        found = bytearray()
        while len(found) < most_bytes and (chunk := file.read(_CHUNK_BYTES)):
            unseen = max(0, len(found) - len(wanted))
            found += chunk
            if found.find(wanted, unseen) >= 0:
                break
        return bytes(found[:most_bytes])

    return _read(path, first)


def _read(path: Path, part: Callable[[BinaryIO], bytes]) -> str:
    try:
        file = os.open(path, _FLAGS)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                return ""
            with os.fdopen(file, "rb", closefd=False) as stream:
                return part(stream).decode("utf-8", "replace")
        finally:
            os.close(file)
    except OSError:
        return ""
