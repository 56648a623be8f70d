"""What an earlier attempt of the same job has put in the output's place is read, not made again.

A worker that is gone may have come that far without telling anybody. Who publishes marks the file
with the job's id (``marks.py``); where the volume keeps no such attribute, it is made again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from ffmpeg_jobs.model import Reason
from ffmpeg_worker import jobdir, marks, staging
from ffmpeg_worker.command import copy_argv
from ffmpeg_worker.holder import SINK
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import OUTPUT, Plan
from ffmpeg_worker.renaming import Name
from ffmpeg_worker.sandbox import JOB, Bind, sandboxed
from ffmpeg_worker.walk import Outside, reach

#: Who has such an attempt given back, as in outcome.HANDED_BACK.
UNTAKEN: Final = "untaken"
_FILE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

log = structlog.get_logger()


def made_before(plan: Plan) -> Plan:
    """How to read what an earlier attempt has published, written down; ``plan`` itself, where
    there is nothing such. Raises AttemptError."""
    if plan.claim.attempt == 1 or plan.publish_to is None or not _is_there(plan):
        return plan
    log.info("found_published", job=plan.claim.job_id, attempt=plan.claim.attempt)
    binds = (Bind(f"{plan.directory}/work", JOB, writable=True), Bind(SINK, OUTPUT))
    run = sandboxed(copy_argv(OUTPUT), binds, network=False)
    taking = replace(plan, run=run, takes=True, source=None, fetch_from=None)
    try:
        jobdir.record_anew(taking)
    except OSError as error:
        raise _untaken(plan, error) from None
    return taking


def stage(plan: Plan) -> int:
    """Give what was published the staged file's name too; a descriptor of it, of O_PATH.

    Raises AttemptError.
    """
    os.close(staging.stage(plan, None))
    try:
        with _open(str(plan.publish_to), plan) as place, _open(str(plan.staged), plan) as staged:
            os.unlink(staged.name, dir_fd=staged.folder)
            os.link(
                place.name,
                staged.name,
                src_dir_fd=place.folder,
                dst_dir_fd=staged.folder,
                follow_symlinks=False,
            )
            return os.open(staged.name, _FILE, dir_fd=staged.folder)
    except (OSError, Outside) as error:
        refuse(plan)
        raise _untaken(plan, error) from None


def is_in_place(plan: Plan) -> bool:
    """Whether the output that was read is still what lies in its place."""
    if not plan.takes:
        return False
    with (
        suppress(OSError, Outside),
        _open(str(plan.staged), plan) as staged,
        _open(str(plan.publish_to), plan) as place,
    ):
        one, other = (
            os.stat(each.name, dir_fd=each.folder, follow_symlinks=False)
            for each in (staged, place)
        )
        return os.path.samestat(one, other)
    return False


def refuse(plan: Plan) -> None:
    """It is no whole output: the next attempt makes it anew."""
    log.warning("published_unreadable", job=plan.claim.job_id, path=plan.publish_to)
    with suppress(OSError, Outside), _opened(plan) as file:
        marks.mark_broken(file, plan)


def _is_there(plan: Plan) -> bool:
    with suppress(OSError, Outside), _opened(plan) as file:
        return marks.may_be_whole(file, plan)
    return False


@contextmanager
def _opened(plan: Plan) -> Iterator[int]:
    """What lies in the output's place, of O_PATH. Raises OSError or Outside."""
    with _open(str(plan.publish_to), plan) as place:
        file = os.open(place.name, _FILE, dir_fd=place.folder)
    try:
        yield file
    finally:
        os.close(file)


@contextmanager
def _open(path: str, plan: Plan) -> Iterator[Name]:
    """A name in its folder, which is open meanwhile. Raises OSError or Outside."""
    folder = reach(str(Path(path).parent), plan.output_roots)
    try:
        yield Name(folder, Path(path).name)
    finally:
        os.close(folder)


def _untaken(plan: Plan, error: OSError | Outside) -> AttemptError:
    why = error.strerror if isinstance(error, OSError) else f"it leads to {error}"
    words = f"what lies at {plan.publish_to} could not be read: {why}"
    return AttemptError(Reason.WORKER_LOST, words, UNTAKEN)
