"""Who is woken for a job and does not take it passes its call on."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.wakeup import Look, Wakeup
from tests.api.conftest import PATIENCE_SECONDS, in_thread, until


def passes_on(fate: Callable[[list[str], threading.Event], str | None]) -> list[object]:
    """What the second waiter gets of the one job that the first, who meets ``fate``, is woken
    for. ``fate`` sees the jobs, and when it was woken."""
    wakeup = Wakeup()
    jobs: list[str] = []
    woken = threading.Event()

    def wait() -> None:
        with suppress(Unavailable):
            wakeup.wait_for("a", 50, lambda: fate(jobs, woken))

    first, _ = in_thread(wait)
    until(lambda: len(wakeup) == 1)
    second, found = in_thread(
        lambda: wakeup.wait_for("b", 50, lambda: jobs.pop() if jobs else None)
    )
    until(lambda: len(wakeup) == 2)
    jobs.append("job")
    wakeup.wake()
    woken.set()
    first.join(PATIENCE_SECONDS)
    second.join(PATIENCE_SECONDS)
    return found


def test_a_waiter_that_leaves_passes_its_call_on() -> None:
    """Woken for a job and gone without it: the next must look."""

    def leave(_jobs: list[str], woken: threading.Event) -> str:
        woken.wait(PATIENCE_SECONDS)  # the job comes while it looks elsewhere
        return "something else"

    assert passes_on(leave) == ["job"]


def test_a_waiter_that_fails_passes_its_call_on() -> None:
    """Woken for a job, and the database broke off: the next must look."""

    def fail(jobs: list[str], _woken: threading.Event) -> None:
        if jobs:
            raise Unavailable("the database broke off")

    assert passes_on(fail) == ["job"]


def test_one_look_is_enough_for_all_where_nothing_waits() -> None:
    """Else each of thousands of idle workers would look after each job of anybody's."""
    wakeup = Wakeup()
    jobs: list[str] = []
    looks: Counter[str] = Counter()

    def look(name: str) -> str | Look:
        looks[name] += 1
        return jobs.pop() if jobs else Look.NOTHING

    def wait(name: str) -> threading.Thread:
        return in_thread(lambda: wakeup.wait_for(name, 50, lambda: look(name)))[0]

    names = [f"w{number}" for number in range(20)]
    threads = []
    for number, name in enumerate(names, 1):
        threads.append(wait(name))
        until(lambda: sum(looks.values()) == len(wakeup) == number)  # noqa: B023 - called at once
    jobs.append("job")
    wakeup.wake()
    threads[0].join(PATIENCE_SECONDS)
    wakeup.wake_worker("w1")
    until(lambda: looks["w1"] == 2)
    wakeup.close()
    for thread in threads[1:]:
        thread.join(PATIENCE_SECONDS)
    # Who took it, who was called, and the next, in case that the job was left.
    assert sum(looks.values()) <= len(names) + 3
