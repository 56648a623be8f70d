"""What the system refuses at an output, as the reason that it is. Pure."""

from __future__ import annotations

import errno
from typing import Final

from ffmpeg_jobs.model import Reason
from ffmpeg_worker.outcome import AttemptError

#: No room, on the volume or for us (errno(3)).
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
#: What is wrong with the path itself, on whichever machine.
_OF_THE_PATH: Final = (
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
)


def output_trouble(error: OSError, words: str) -> AttemptError:
    """What the system refused us, and ``words`` for what that was: the volume is full, or the
    output's place is not to be written, here or at all."""
    if error.errno in _NO_ROOM:
        return AttemptError(Reason.DISK_FULL, f"{words}: {error.strerror}")
    final = error.errno in _OF_THE_PATH
    return AttemptError(Reason.OUTPUT_ERROR, f"{words}: {error.strerror}", final=final)
