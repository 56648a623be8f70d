"""Files that a job may write, or may have put something else in the place of.

No link is followed, nobody is waited for at a pipe, and what cannot be read as a file is empty: a
job may spoil what is known of it, and nothing else.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def head(path: Path, size_bytes: int) -> str:
    """The first ``size_bytes`` of a file; empty where there is none."""
    return _part(path, size_bytes, os.SEEK_SET)


def tail(path: Path, size_bytes: int) -> str:
    """The last ``size_bytes`` of a file; empty where there is none."""
    return _part(path, size_bytes, os.SEEK_END)


def _part(path: Path, size_bytes: int, whence: int) -> str:
    try:
        file = os.open(path, _FLAGS)
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                return ""
            begin = max(0, found.st_size - size_bytes) if whence == os.SEEK_END else 0
            with os.fdopen(file, "rb", closefd=False) as stream:
                stream.seek(begin)
                return stream.read(size_bytes).decode("utf-8", "replace")
        finally:
            os.close(file)
    except OSError:
        return ""
