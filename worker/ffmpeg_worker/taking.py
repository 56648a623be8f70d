"""What an earlier attempt of the same job has put in the output's place is read, not made again.

A worker that is gone may have come that far without telling anybody. Who publishes marks the file
with the job's id (an extended attribute, xattr(7)); where none can be kept, it is made again.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from ffmpeg_jobs.model import Reason
from ffmpeg_worker import jobdir
from ffmpeg_worker.command import copy_argv
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import OUTPUT, Plan
from ffmpeg_worker.sandbox import JOB, Bind, sandboxed

MARK: Final = "user.ffmpeg-job"
#: Who has such an attempt given back, as in outcome.HANDED_BACK.
UNTAKEN: Final = "untaken"

log = structlog.get_logger()


def mark(file: Path, job_id: str) -> None:
    """Say whose output it is, as far as the file system lets us."""
    with suppress(OSError):
        os.setxattr(file, MARK, job_id.encode(), follow_symlinks=False)


def made_before(plan: Plan) -> Plan:
    """How to read what an earlier attempt has published, written down; ``plan`` itself, where
    there is nothing such. Raises AttemptError."""
    if plan.claim.attempt == 1 or plan.publish_to is None or not _is_marked(plan):
        return plan
    log.info("found_published", job=plan.claim.job_id, attempt=plan.claim.attempt)
    binds = (Bind(f"{plan.directory}/work", JOB, writable=True), Bind(str(plan.staged), OUTPUT))
    run = sandboxed(copy_argv(OUTPUT), binds, network=False)
    taking = replace(plan, run=run, takes=True, source=None, fetch_from=None)
    try:
        jobdir.record_anew(taking)
    except OSError as error:
        raise _untaken(plan, error) from None
    return taking


def stage(plan: Plan) -> None:
    """Give what was published the staged file's name too. Raises AttemptError."""
    staged = Path(str(plan.staged))
    try:
        staged.unlink(missing_ok=True)
        os.link(str(plan.publish_to), staged, follow_symlinks=False)
    except OSError as error:
        refuse(plan)
        raise _untaken(plan, error) from None


def is_in_place(plan: Plan) -> bool:
    """Whether the output that was read is still what lies in its place."""
    with suppress(OSError):
        return plan.takes and os.path.samestat(
            os.lstat(str(plan.staged)), os.lstat(str(plan.publish_to))
        )
    return False


def refuse(plan: Plan) -> None:
    """It is no whole output: the next attempt makes it anew."""
    log.warning("published_unreadable", job=plan.claim.job_id, path=plan.publish_to)
    with suppress(OSError):
        os.removexattr(str(plan.publish_to), MARK, follow_symlinks=False)


def _is_marked(plan: Plan) -> bool:
    final = str(plan.publish_to)
    try:
        found = os.lstat(final)
        ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        marked = os.getxattr(final, MARK, follow_symlinks=False) if ours else b""
    except OSError:
        return False
    return marked == plan.claim.job_id.encode()


def _untaken(plan: Plan, error: OSError) -> AttemptError:
    words = f"what lies at {plan.publish_to} could not be read: {error.strerror}"
    return AttemptError(Reason.WORKER_LOST, words, UNTAKEN)
