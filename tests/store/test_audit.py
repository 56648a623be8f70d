"""The audit log is written with the change, or not at all."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.model import Action, Job, Role
from ffmpeg_jobs.problems import Conflict
from ffmpeg_master.model import Act, AuditFilters, Needs
from ffmpeg_master.store import audit, intake, queue
from ffmpeg_master.store.engine import Store
from tests.store.conftest import Clock

ALL = AuditFilters()


def act(action: Action) -> Act:
    return Act("ann", action, Role.SUBMIT, "default", "2001:db8::1")


def submission(key: str | None = None, digest: str = "") -> intake.Submission:
    return intake.Submission(Job(), Needs(), 4, digest, key)


def test_what_is_done_is_written_down(store: Store) -> None:
    status, _ = intake.submit(store, submission(), act(Action.JOB_SUBMITTED))
    queue.cancel(store, status.id, act(Action.JOB_CANCELED))
    (canceled, submitted), following = audit.page(store, ALL, 2)
    assert (canceled.action, submitted.action) == (Action.JOB_CANCELED, Action.JOB_SUBMITTED)
    assert (canceled.subject, canceled.who, canceled.address) == (status.id, "ann", "2001:db8::1")
    assert canceled.id > submitted.id
    assert following is None


def test_what_is_refused_leaves_nothing(store: Store) -> None:
    intake.submit(store, submission("once", "a"), act(Action.JOB_SUBMITTED))
    with pytest.raises(Conflict):
        intake.submit(store, submission("once", "b"), act(Action.JOB_SUBMITTED))
    batch = [submission(), submission("once", "b")]
    with pytest.raises(Conflict):
        intake.submit_batch(store, batch, act(Action.JOB_SUBMITTED))
    assert len(audit.page(store, ALL, 10)[0]) == 1


def test_the_old_is_forgotten_in_small_steps(store: Store, clock: Clock) -> None:
    batch = [submission() for _ in range(5)]
    intake.submit_batch(store, batch, act(Action.JOB_SUBMITTED))
    clock.forward(10)
    intake.submit(store, submission(), act(Action.JOB_SUBMITTED))
    before = clock.seconds - 5
    assert [audit.forget(store, before, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert len(audit.page(store, ALL, 10)[0]) == 1
