"""Who is woken for a job and does not take it passes its call on."""

from __future__ import annotations

import threading
from contextlib import suppress

from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.wakeup import Wakeup
from tests.api.conftest import PATIENCE_SECONDS, in_thread, until


def test_a_waiter_that_leaves_passes_its_call_on() -> None:
    """Woken for a job and gone without it: the next must look."""
    wakeup = Wakeup()
    jobs: list[str] = []
    gone = threading.Event()

    def leave() -> str | None:
        gone.wait(PATIENCE_SECONDS)  # the job comes while it looks elsewhere
        return "something else"

    first, _ = in_thread(lambda: wakeup.wait_for("a", 50, leave))
    until(lambda: len(wakeup) == 1)
    second, found = in_thread(
        lambda: wakeup.wait_for("b", 50, lambda: jobs.pop() if jobs else None)
    )
    until(lambda: len(wakeup) == 2)
    jobs.append("job")
    wakeup.wake()
    gone.set()
    first.join(PATIENCE_SECONDS)
    second.join(PATIENCE_SECONDS)
    assert found == ["job"]


def test_a_waiter_that_fails_passes_its_call_on() -> None:
    """Woken for a job, and the database broke off: the next must look."""
    wakeup = Wakeup()
    jobs: list[str] = []

    def fail() -> None:
        if jobs:
            raise Unavailable("the database broke off")

    def wait() -> None:
        with suppress(Unavailable):
            wakeup.wait_for("a", 50, fail)

    first, _ = in_thread(wait)
    until(lambda: len(wakeup) == 1)
    second, found = in_thread(
        lambda: wakeup.wait_for("b", 50, lambda: jobs.pop() if jobs else None)
    )
    until(lambda: len(wakeup) == 2)
    jobs.append("job")
    wakeup.wake()
    first.join(PATIENCE_SECONDS)
    second.join(PATIENCE_SECONDS)
    assert found == ["job"]
