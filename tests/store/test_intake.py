"""A job is accepted once per idempotency key, and found again."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from ffmpeg_jobs.model import Job, JobStatus
from ffmpeg_jobs.problems import Conflict
from ffmpeg_master.model import Filters, Needs
from ffmpeg_master.store import intake, jobs, lists
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.troubles import Collision
from tests import handing

PLAIN = Job()


def submit(
    store: Store, job: Job = PLAIN, key: str | None = None, digest: str = "d"
) -> tuple[JobStatus, bool]:
    return intake.submit(store, intake.Submission(job, Needs(), 4, digest, key))


def test_a_repeat_is_the_same_job(store: Store) -> None:
    first, created = submit(store, key="k")
    again, created_again = submit(store, key="k")
    assert (again, created, created_again) == (first, True, False)


def test_another_job_under_the_same_key_is_refused(store: Store) -> None:
    first, _ = submit(store, key="k")
    with pytest.raises(Conflict, match=first.id):
        submit(store, key="k", digest="another")
    assert len(lists.page(store, Filters(), 10)[0]) == 1


def test_without_a_key_each_is_a_new_job(store: Store) -> None:
    assert submit(store)[0].id != submit(store)[0].id


def test_pages_hold_every_job_once_newest_first(store: Store) -> None:
    ids = [submit(store)[0].id for _ in range(7)]
    seen: list[str] = []
    before = None
    while True:
        rows, before = lists.page(store, Filters(before=before), 3)
        seen += [row.id for row in rows]
        submit(store)  # a newer one does not shift the pages
        if before is None:
            break
    assert seen == ids[::-1]


def test_a_full_last_page_has_no_next(store: Store) -> None:
    for _ in range(3):
        submit(store)
    assert lists.page(store, Filters(), 3)[1] is None


def test_filters(store: Store) -> None:
    red = submit(store, Job(labels={"title": "red", "n": "1"}))[0].id
    blue = submit(store, Job(labels={"title": "blue"}))[0].id
    handing.claim(store, red, "ada", most=1, lease_seconds=60)

    def found(filters: Filters) -> list[str]:
        return [row.id for row in lists.page(store, filters, 10)[0]]

    assert found(Filters(label=("title", "red"))) == [red]
    assert found(Filters(label=("title", "1"))) == []
    assert found(Filters(state="queued")) == [blue]
    assert found(Filters(worker="ada")) == [red]
    assert found(Filters(queue="live")) == []
    assert jobs.counts(store) == (1, 1)


def test_a_batch_that_fails_in_the_middle_leaves_nothing(store: Store) -> None:
    one = intake.Submission(PLAIN, Needs(), 4, "d")
    refused = replace(one, body_digest=cast(str, None))  # the database refuses it
    with pytest.raises(Collision):
        intake.submit_batch(store, [one, refused])
    assert lists.page(store, Filters(), 10) == ([], None)
