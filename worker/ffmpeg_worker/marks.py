"""Whose file is at an output's place: nobody's, an earlier attempt's of the same job, or another's.

What a job publishes is marked with its id: by an extended attribute, which comes along to whatever
machine sees the volume; where the volume has none, by a record in our folder beside it, until the
master knows that the job ended. A retry takes (``taking.py``) or replaces what bears its job's
mark, and nothing else.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from ffmpeg_jobs.model import Reason
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.renaming import Name, exchange, replace, take
from ffmpeg_worker.walk import Outside, by_descriptor, reach

ATTRIBUTE: Final = "user.ffmpeg-job"
#: After the id, of an output that was found to be broken: it may be replaced, and is not taken.
BROKEN: Final = b" broken"
#: Of what bears no mark; ``.ffmpeg-job-ID.published``.
RECORD_NAME: Final = re.compile(r"\.ffmpeg-job-[a-z2-7]{12}\.published\Z")
_RECORD_BYTES: Final = 4096


def check_free(place: Name, plan: Plan, source: int | None = None) -> None:
    """Raises AttemptError (output_error) if the output's name is taken, and may not be; or if it
    is the input's, which ``source`` is of."""
    try:
        found = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode):
        words = f"output: {plan.publish_to} is a folder"
        raise AttemptError(Reason.OUTPUT_ERROR, words, final=True)
    if source is not None and _is_same(place, source):
        words = f"output: {plan.publish_to} is the same file as the input, {plan.claim.job.input}"
        raise AttemptError(Reason.OUTPUT_ERROR, words, final=True)
    if not (plan.claim.job.overwrite or is_ours(place, plan)):
        raise _taken(plan)


def put(staged: Name, place: Name, plan: Plan) -> None:
    """Give the output its name, in one step; what was there is replaced only if it may be.

    Raises AttemptError (output_error) where another's file is there, and OSError.
    """
    if plan.claim.job.overwrite:
        replace(staged, place)
        return
    try:
        take(staged, place)
    except FileExistsError:
        if not is_ours(place, plan):
            raise _taken(plan) from None
        if not exchange(staged, place):
            replace(staged, place)
        elif is_ours(staged, plan):  # what was there, under our name now
            os.unlink(staged.name, dir_fd=staged.folder)
        else:  # somebody put another in its place meanwhile
            exchange(staged, place)
            raise _taken(plan) from None


def mark(file: int, staged: Name, plan: Plan) -> None:
    """Mark an output as its job's before it gets its name; ``file`` is of O_PATH.

    Raises OSError.
    """
    try:
        os.setxattr(by_descriptor(file), ATTRIBUTE, plan.claim.job_id.encode())
    except OSError:  # the volume has none
        _record(file, staged.folder, plan)


def is_ours(place: Name, plan: Plan) -> bool:
    """Whether an earlier attempt of the same job made what is there."""
    try:
        file = os.open(place.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.folder)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return False
        job = plan.claim.job_id.encode()
        return _marked(file) in (job, job + BROKEN) or _identity(file) in _recorded(plan)
    finally:
        os.close(file)


def may_be_whole(file: int, plan: Plan) -> bool:
    """Whether it bears its job's mark, and nobody found it broken: it may be taken as it is.

    ``file`` is of O_PATH. Whoever else's it is may set any mark on it.
    """
    found = os.fstat(file)
    ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
    return ours and _marked(file) == plan.claim.job_id.encode()


def mark_broken(file: int, plan: Plan) -> None:
    """Have an output of the job replaced, and not taken; ``file`` is of O_PATH. Raises OSError."""
    if may_be_whole(file, plan):
        os.setxattr(by_descriptor(file), ATTRIBUTE, plan.claim.job_id.encode() + BROKEN)


def record_name(plan: Plan) -> str:
    """The name of a job's record, beside its staged output."""
    return f".ffmpeg-job-{plan.claim.job_id}.published"


def _taken(plan: Plan) -> AttemptError:
    words = (
        f"output: {plan.publish_to} is there already, and this job did not make it; name another, "
        "or say overwrite"
    )
    return AttemptError(Reason.OUTPUT_ERROR, words, final=True)


def _is_same(place: Name, source: int) -> bool:
    """Whatever links lead there."""
    try:
        found = os.stat(place.name, dir_fd=place.folder)
    except OSError:
        return False
    return os.path.samestat(found, os.fstat(source))


def _marked(file: int) -> bytes | None:
    try:
        return os.getxattr(by_descriptor(file), ATTRIBUTE)
    except OSError:
        return None


def _identity(file: int) -> bytes:
    """The same on each machine that sees the volume, until somebody writes to the file."""
    found = os.fstat(file)
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}\n".encode()


def _record(file: int, folder: int, plan: Plan) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    record = os.open(record_name(plan), flags, 0o600, dir_fd=folder)
    try:
        os.write(record, _identity(file))
        os.fsync(record)
    finally:
        os.close(record)


def _recorded(plan: Plan) -> list[bytes]:
    """What attempts of the job that could not mark it said of what they made."""
    try:
        folder = reach(str(Path(str(plan.staged)).parent), plan.output_roots)
    except (OSError, Outside):
        return []
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        record = os.open(record_name(plan), flags, dir_fd=folder)
    except OSError:
        return []
    finally:
        os.close(folder)
    with os.fdopen(record, "rb") as lines:
        return lines.readlines(_RECORD_BYTES)
