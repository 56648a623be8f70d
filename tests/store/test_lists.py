"""Pages of jobs: whatever is asked, all of it, newest first, and read where it stands in order."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

from ffmpeg_jobs.model import Job, Outcome, Queue, State
from ffmpeg_master.model import Filters, Needs
from ffmpeg_master.store import intake, lists
from ffmpeg_master.store.engine import Store
from tests import handing
from tests.store.conftest import Clock

TENANTS = ("default", "guests")
RED = ("color", "red")
FIRST = 1_700_000_000.0
#: What each filter asks, if anything.
ASKED: dict[str, tuple[Any, ...]] = {
    "tenant": (None, "guests"),
    "state": (None, "queued", "completed"),
    "queue": (None, "live"),
    "worker": (None, "bob"),
    "group": (None, "night"),
    "label": (None, RED),
    "since": (None, FIRST + 10),
    "until": (None, FIRST + 40),
}


def make(store: Store, place: int) -> tuple[str, dict[str, Any]]:
    """A job of many kinds; its id and what filters see of it."""
    has: dict[str, Any] = {
        "tenant": TENANTS[place % 5 == 0],
        "state": "queued",
        "queue": list(Queue)[place % 3].value,
        "group": "night" if place % 7 else None,
        "label": RED if place % 4 else None,
    }
    labels = dict([RED]) if has["label"] else {}
    job = Job(queue=Queue(has["queue"]), group=has["group"], labels=labels)
    asked = intake.Submission(job, Needs(), 4, "digest", tenant=has["tenant"])
    job_id = intake.submit(store, asked)[0].id
    if place % 2:
        has |= {"state": "completed", "worker": "bob" if place % 3 else "ada"}
        held = handing.claim(store, job_id, has["worker"], most=1, lease_seconds=60)
        assert held is not None
        done = Outcome(State.COMPLETED)
        handing.finish(store, job_id, 1, token=held.token, outcome=done, retry_seconds=1)
    return job_id, has


def pages(store: Store, filters: Filters, limit: int) -> list[str]:
    """The ids of all of them, a page after the other."""
    found, before = list[str](), None
    while True:
        page, before = lists.page(store, replace(filters, before=before), limit)
        found += [job.id for job in page]
        if before is None:
            return found
        assert len(page) == limit


def test_pages_are_all_that_is_asked_newest_first(store: Store, clock: Clock) -> None:
    made = []
    for place in range(48):
        made.append((*make(store, place), clock()))
        clock.forward(1)
    for values in product(*ASKED.values()):
        asked = dict(zip(ASKED, values, strict=True))
        wanted = {name: value for name, value in asked.items() if value is not None}
        since, until = wanted.pop("since", 0.0), wanted.pop("until", FIRST * 2)
        expected = [
            job_id
            for job_id, has, at in reversed(made)
            if wanted.items() <= has.items() and since <= at < until
        ]
        assert pages(store, Filters(**asked), 5) == expected, asked
        counted = lists.count(store, Filters(**asked))
        assert sum(sum(states.values()) for states in counted.values()) == len(expected), asked


def test_what_was_accepted_together_is_found_by_its_time(store: Store, clock: Clock) -> None:
    """A batch has the time at which it began, and others come meanwhile."""
    since, moments = clock(), (0, 20, 0, 10, 20, 0, 40, 0)
    made = []
    for later in moments:
        clock.seconds = since + later
        made.append((make(store, 1)[0], later))
    for start, end in ((0, 1), (1, 30), (15, 25), (0, 100), (20, 41)):
        filters = Filters(since=since + start, until=since + end)
        wanted = [job_id for job_id, later in reversed(made) if start <= later < end]
        assert pages(store, filters, 2) == wanted
        counted = lists.count(store, filters)
        assert sum(sum(states.values()) for states in counted.values()) == len(wanted)
