"""The exit statuses of ``ffmpeg-jobs``: one table for the command, its help and its man page."""

from __future__ import annotations

from enum import Enum

from ffmpeg_jobs.model import JobStatus, Reason, State
from ffmpeg_jobs.problems import Forbidden, MasterUnreachable, Problem, Unauthorized
from ffmpeg_jobs.settings import EX_CONFIG, ConfigError


class Exit(int, Enum):
    """How the command ended. 69, 77 and 78 are those of sysexits.h."""

    sentence: str

    def __new__(cls, status: int, sentence: str) -> Exit:
        member = int.__new__(cls, status)
        member._value_ = status
        member.sentence = sentence
        return member

    DONE = 0, "what was asked is done; submit --watch and watch: the job completed"
    REFUSED = 1, "the request was refused; the message says why"
    USAGE = 2, "the command line is wrong"
    FAILED = (
        3,
        "the job failed: its input, output or encoder, or another reason that is shown",
    )
    CANCELED = 4, "the job was canceled"
    TIMEOUT = 5, "the job ran longer than its timeout"
    OUT_OF_MEMORY = 6, "the job went over its memory limit"
    UNREACHABLE = 69, "the master does not answer, or its certificate is not trusted"
    NOT_ALLOWED = 77, "the API key is not known, or its role does not allow it"
    CONFIG = EX_CONFIG, "the configuration cannot be used"
    INTERRUPTED = 130, "Ctrl-C; a job that was submitted goes on"


_OF_REASON = {Reason.TIMEOUT: Exit.TIMEOUT, Reason.OUT_OF_MEMORY: Exit.OUT_OF_MEMORY}

#: What ends a verb with a sentence instead of a traceback.
Refusal = (Problem, MasterUnreachable, ConfigError)


def of_job(job: JobStatus) -> Exit:
    """How a job in a final state ended, for a script."""
    if job.state is State.COMPLETED:
        return Exit.DONE
    if job.state is State.CANCELED:
        return Exit.CANCELED
    return _OF_REASON.get(job.reason or Reason.INTERNAL_ERROR, Exit.FAILED)


def of_refusal(error: BaseException) -> Exit:
    """The status for one of ``Refusal``."""
    if isinstance(error, ConfigError):
        return Exit.CONFIG
    if isinstance(error, MasterUnreachable):
        return Exit.UNREACHABLE
    return Exit.NOT_ALLOWED if isinstance(error, (Unauthorized, Forbidden)) else Exit.REFUSED


def table() -> str:
    """The table as ``--help`` shows it; click keeps its lines."""
    rows = (f"  {int(row):>3}  {row.sentence}" for row in Exit)
    return "\b\nExit status:\n" + "\n".join(rows)
