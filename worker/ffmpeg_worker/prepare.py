"""What must be there before anything runs: room on the disk, the input, the output's place."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

from ffmpeg_jobs.model import Reason
from ffmpeg_worker import jobdir
from ffmpeg_worker.config import Config
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.reservation import check_room
from ffmpeg_worker.roots import of_tenant
from ffmpeg_worker.transfer import fetch


def prepare(plan: Plan, config: Config, stop: threading.Event, others: Sequence[Plan] = ()) -> None:
    """Bring the plan to the disk, reserve room there beside ``others``, stage the output, fetch
    the input; ``stop`` breaks a fetch off.

    Raises AttemptError. Runs in a thread; a repeat starts over.
    """
    try:
        jobdir.bring_to_disk(plan)
    except OSError as error:
        raise not_written(plan.directory, error) from None
    check_room(Path(plan.directory), plan, others)
    tenant = plan.claim.tenant
    _stage(plan, of_tenant(config.output_roots, tenant), others)
    if plan.fetch_from:
        fetch(
            plan.fetch_from,
            Path(plan.directory) / "input",
            max_bytes=plan.max_disk_mb << 20,
            deadline_seconds=plan.held.timeout_seconds,
            stop=stop,
        )
    elif plan.source:
        _check_readable(plan.source, of_tenant(config.input_roots, tenant))


def not_written(directory: str, error: OSError) -> AttemptError:
    """What it is if the job's directory cannot be written."""
    words = f"cannot write the job directory {directory}: {error.strerror}"
    return AttemptError(Reason.DISK_FULL, words)


def _stage(plan: Plan, roots: Sequence[Path], others: Sequence[Plan]) -> None:
    """Make the empty file that the sandbox will see as its output."""
    if plan.staged is None:
        return
    staged = Path(plan.staged)
    try:
        if plan.publish_to:
            staged.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            _check_below(staged.parent, roots, "output")
            check_room(staged.parent, plan, others)
        # Never follow a link that somebody laid where our staged file goes, nor wait at a pipe.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
        os.close(os.open(staged, flags | os.O_CLOEXEC, 0o644))
    except OSError as error:
        raise AttemptError(
            Reason.INPUT_ERROR, f"output: cannot write in {staged.parent}: {error.strerror}"
        ) from None


def _check_readable(source: str, roots: Sequence[Path]) -> None:
    _check_below(Path(source), roots, "input")
    try:
        # Whoever opens a pipe without a writer waits for one, whatever is asked of him.
        file = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        regular = stat.S_ISREG(os.fstat(file).st_mode)
        os.close(file)
    except OSError as error:
        raise AttemptError(
            Reason.INPUT_ERROR, f"input: cannot read {source}: {error.strerror}"
        ) from None
    if not regular:
        raise AttemptError(Reason.INPUT_ERROR, f"input: {source} is not a regular file")


def _check_below(path: Path, roots: Sequence[Path], field: str) -> None:
    """A symbolic link must not lead out of the roots."""
    real = path.resolve()
    if not any(real.is_relative_to(root.resolve()) for root in roots):
        raise AttemptError(
            Reason.INPUT_ERROR, f"{field}: {path} leads to {real}, outside of the allowed folders"
        )
