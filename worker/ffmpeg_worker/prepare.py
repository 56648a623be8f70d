"""What must be there before anything runs: room on the disk, the input, the output's place."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from ffmpeg_jobs.model import Reason
from ffmpeg_worker import jobdir, taking
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.pinning import pin
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.reservation import check_room
from ffmpeg_worker.staging import stage
from ffmpeg_worker.transfer import fetch
from ffmpeg_worker.walk import Outside, by_descriptor, reach


@dataclass(frozen=True)
class Opened:
    """Descriptors of the files that a job reads and writes, as they were found good."""

    source: int | None = None
    sink: int | None = None

    def close(self) -> None:
        """Close them; a holder has its own."""
        for descriptor in (self.source, self.sink):
            if descriptor is not None:
                os.close(descriptor)

    def __enter__(self) -> Opened:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


NOTHING: Final = Opened()


def prepare(plan: Plan, stop: threading.Event, others: Sequence[Plan] = ()) -> Opened:
    """Bring the plan to the disk, reserve room there beside ``others``, look at the input, stage
    the output, fetch the input; ``stop`` breaks a fetch off.

    Raises AttemptError. Runs in a thread; a repeat starts over.
    """
    try:
        jobdir.bring_to_disk(plan)
    except OSError as error:
        raise not_written(plan.directory, error) from None
    check_room(Path(plan.directory), plan, others)
    pin(plan)
    source = None if plan.fetch_from else _open_source(plan)
    sink = None
    try:
        if plan.staged is not None:
            sink = taking.stage(plan) if plan.takes else stage(plan, source)
            _check_room_beside(plan, others)
        if plan.fetch_from:
            _fetch(plan, plan.fetch_from, stop)
            source = _open_source(plan)
    except AttemptError:
        Opened(source, sink).close()
        raise
    return Opened(source, sink)


def not_written(directory: str, error: OSError) -> AttemptError:
    """What it is if the job's directory cannot be written."""
    words = f"cannot write the job directory {directory}: {error.strerror}"
    return AttemptError(Reason.DISK_FULL, words)


def _fetch(plan: Plan, url: str, stop: threading.Event) -> None:
    fetch(
        url,
        Path(plan.directory) / "input",
        max_bytes=plan.max_disk_mb << 20,
        deadline_seconds=plan.held.timeout_seconds,
        stop=stop,
        policy=plan.network,
    )


def _check_room_beside(plan: Plan, others: Sequence[Plan]) -> None:
    if plan.publish_to:
        with suppress(OSError):  # it went away meanwhile, as publishing will find
            check_room(Path(str(plan.staged)).parent, plan, others)


def _open_source(plan: Plan) -> int | None:
    """A descriptor of the input on this machine, which can be read; None: there is none.

    Raises AttemptError.
    """
    if plan.source is None:
        return None
    try:
        source = reach(plan.source, plan.input_roots)
        try:
            _check_readable(source, plan.source)
        except (OSError, AttemptError):
            os.close(source)
            raise
        return source
    except OSError as error:
        words = f"input: cannot read {plan.source}: {error.strerror}"
        raise AttemptError(Reason.INPUT_ERROR, words) from None
    except Outside as place:
        words = f"input: {plan.source} leads to {place}, outside of the allowed folders"
        raise AttemptError(Reason.INPUT_ERROR, words) from None


def _check_readable(source: int, path: str) -> None:
    # Whoever opens a pipe without a writer waits for one: what it is comes first.
    if not stat.S_ISREG(os.fstat(source).st_mode):
        raise AttemptError(Reason.INPUT_ERROR, f"input: {path} is not a regular file")
    os.close(os.open(by_descriptor(source), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
