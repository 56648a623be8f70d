"""The state machine of jobs against a model: whatever comes, in whatever order, how often ever.

The model is what docs/architecture.md promises, in plain Python. Hypothesis plays users, workers
(late, repeating, confused ones too) and time, and finds the shortest way to a difference.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, event, select

from ffmpeg_jobs.model import (
    FINAL_STATES,
    Claim,
    Heartbeat,
    Job,
    JobStatus,
    Machine,
    Order,
    Outcome,
    Reason,
    Report,
    State,
    Terms,
)
from ffmpeg_jobs.problems import Conflict, InvalidField, StaleAttempt
from ffmpeg_master.model import Needs
from ffmpeg_master.store import dependencies, giveback, intake, jobs, logs, queue, wishes, workers
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.retry import retry
from ffmpeg_master.store.tables import attempts
from ffmpeg_master.store.tables import jobs as jobs_table
from ffmpeg_master.store.tables import workers as workers_table
from ffmpeg_master.store.tallies import fold
from ffmpeg_master.store.transitions import GIVE_BACKS_MAX
from tests import handing
from tests.store import counted
from tests.store.batches import MOST, NAMES, Batches
from tests.store.conftest import Clock
from tests.store.expected import LEASE, LIVE, OUTCOMES, RETRY, Expected

#: Examples and their steps: many where they are quick.
EFFORT = {"sqlite": (60, 50), "postgresql": (25, 50)}


class Life(Batches):
    """Users, workers and time."""

    accepted: Any = Bundle("accepted")
    claims: Any = Batches.claims

    def __init__(self) -> None:
        super().__init__()
        with self.store.write() as connection:
            connection.execute(delete(jobs_table))
            connection.execute(delete(workers_table))
        for name in NAMES:
            workers.register(self.store, name, Machine(4, 8192, 1000, max_concurrent_jobs=MOST))
        self.model = {}
        self.keys: dict[str, str] = {}

    # What users do.

    @initialize(target=accepted, most=st.integers(1, 3))
    def begin(self, most: int) -> Any:
        return self.submit(most, None)

    @rule(target=accepted, most=st.integers(1, 3), key=st.sampled_from([None, "k1", "k2"]))
    def submit(self, most: int, key: str | None) -> Any:
        job = Job(max_attempts=most)
        sent = intake.Submission(job, Needs(), 4, "digest", key)
        status, created = intake.submit(self.store, sent)
        if key in self.keys:
            assert (status.id, created) == (self.keys[key], False)
            return multiple()
        assert created and status.id not in self.model
        if key is not None:
            self.keys[key] = status.id
        self.model[status.id] = Expected(most, self.clock())
        return status.id

    @rule(target=accepted, on=st.lists(accepted, min_size=1, max_size=3, unique=True))
    def submit_dependent(self, on: list[str]) -> Any:
        job = Job(max_attempts=1, depends_on=tuple(on))
        states = {other: self.model[other].state for other in on}
        sent = intake.Submission(job, Needs(), 4, "digest")
        if {State.FAILED, State.CANCELED} & set(states.values()):
            with pytest.raises(InvalidField):
                intake.submit(self.store, sent)
            return multiple()
        status, _ = intake.submit(self.store, sent)
        self.model[status.id] = expected = Expected(1, self.clock(), tuple(on))
        expected.waits = {o for o, state in states.items() if state is not State.COMPLETED}
        return status.id

    @rule(job_id=accepted)
    def cancel(self, job_id: str) -> None:
        expected = self.model[job_id]
        if expected.state in (State.COMPLETED, State.FAILED):
            self.refused(Conflict, lambda: queue.cancel(self.store, job_id), job_id)
            return
        _, ended = queue.cancel(self.store, job_id)
        assert ended is (expected.state is State.QUEUED)
        if expected.state is State.CANCELED:
            return
        expected.cancel_requested = True
        if expected.state is State.QUEUED:
            expected.state = State.CANCELED

    @rule(job_id=accepted)
    def retry(self, job_id: str) -> None:
        expected = self.model[job_id]
        never_ran = expected.depends_on if expected.attempt == 0 else ()
        states = {other: self.model[other].state for other in never_ran}
        hopeless = {State.FAILED, State.CANCELED} & set(states.values())
        if hopeless or expected.state not in (State.FAILED, State.CANCELED):
            self.refused(Conflict, lambda: retry(self.store, job_id), job_id)
            return
        retry(self.store, job_id)
        expected.waits = {o for o, state in states.items() if state is not State.COMPLETED}
        expected.state, expected.cancel_requested = State.QUEUED, False
        expected.given_back, expected.tries = 0, expected.attempt
        expected.not_before, expected.max_attempts = self.clock(), expected.tries + expected.own
        expected.untouched = False

    @rule(job_id=accepted, paused=st.booleans())
    def pause(self, job_id: str, paused: bool) -> None:
        expected = self.model[job_id]
        if expected.state not in LIVE or expected.cancel_requested:
            self.refused(Conflict, lambda: wishes.set_paused(self.store, job_id, paused), job_id)
            return
        wishes.set_paused(self.store, job_id, paused)

    # What workers do.

    @rule(target=claims, job_id=accepted, worker=st.sampled_from(NAMES))
    def claim(self, job_id: str, worker: str) -> Any:
        expected, has_room = self.model[job_id], self.holds(worker) < MOST
        held = handing.claim(self.store, job_id, worker, most=MOST, lease_seconds=LEASE)
        if not has_room or not self.may_go(expected):
            assert held is None
            return multiple()
        if held is None:
            assert not self.must_go(expected)
            return multiple()
        self.is_taken(held, worker)
        return held

    @rule(target=claims, worker=st.sampled_from(NAMES))
    def claim_next(self, worker: str) -> Any:
        waiting = next(iter(handing.waiting(self.store)), None)
        return multiple() if waiting is None else self.claim(waiting.job_id, worker)

    @rule(job_id=accepted, outcome=st.sampled_from(OUTCOMES), soon=st.booleans())
    def run(self, job_id: str, outcome: Outcome, soon: bool) -> None:
        """A worker that does it all at once, and asks for more."""
        held = self.claim(job_id, "cyd")
        if isinstance(held, Claim):
            self.tell(held, outcome)
            if soon:
                self.claim(job_id, "cyd")

    @rule(claim=claims, worker=st.sampled_from(NAMES), stands_still=st.booleans())
    def heartbeat(self, claim: Claim, worker: str, stands_still: bool) -> None:
        expected = self.model[claim.job_id]
        report = Report(
            claim.job_id, claim.attempt, claim.token, in_force=Terms(stands_still, None, 1)
        )
        (order,) = queue.heartbeat(self.store, worker, Heartbeat((report,)), LEASE).orders
        if not expected.live(claim) or expected.worker != worker:
            assert order.order is Order.LOST
            return
        assert order.order is (Order.CANCEL if expected.cancel_requested else Order.CONTINUE)
        expected.state = State.PAUSED if stands_still else State.RUNNING
        expected.lease_until = self.clock() + LEASE

    @rule(claim=claims, outcome=st.sampled_from(OUTCOMES), times=st.integers(1, 2))
    def finish(self, claim: Claim, outcome: Outcome, times: int) -> None:
        for _ in range(times):
            self.tell(claim, outcome)

    def tell(self, claim: Claim, outcome: Outcome) -> None:
        expected = self.model[claim.job_id]

        def finish() -> JobStatus | None:
            number, token = claim.attempt, claim.token
            return handing.finish(
                self.store, claim.job_id, number, token=token, outcome=outcome, retry_seconds=RETRY
            )

        latest = expected.attempt == claim.attempt
        if expected.live(claim) or (latest and expected.counts_late(outcome)):
            assert finish() is not None
            expected.ends(outcome, self.clock())
            expected.told, expected.silent = outcome, False
        elif latest and expected.told == outcome:
            before = jobs.show(self.store, claim.job_id)
            assert finish() is None
            assert jobs.show(self.store, claim.job_id) == before
        else:
            self.refused(StaleAttempt, finish, claim.job_id)

    @rule(claim=claims)
    def give_back(self, claim: Claim) -> None:
        expected = self.model[claim.job_id]

        def release() -> tuple[JobStatus, str] | None:
            return giveback.release(
                self.store,
                claim.job_id,
                claim.attempt,
                token=claim.token,
                why="no room",
                retry_seconds=RETRY,
            )

        if expected.live(claim):
            assert release() is not None
            self.given_back(expected)
        elif expected.attempt == claim.attempt and expected.told == "given back":
            assert release() is None
        else:
            self.refused(StaleAttempt, release, claim.job_id)

    def given_back(self, expected: Expected) -> None:
        now = self.clock()
        if expected.given_back == GIVE_BACKS_MAX and not expected.cancel_requested:
            expected.ends(Outcome(State.FAILED, Reason.WORKER_LOST), now)
            expected.told = "given up"
            return
        expected.given_back += 1
        expected.tries -= 1
        expected.state = State.CANCELED if expected.cancel_requested else State.QUEUED
        expected.not_before, expected.told = now, "given back"

    @rule(claim=claims)
    def confuse_tokens(self, claim: Claim) -> None:
        strange = Claim(claim.job_id, claim.attempt, "guessed", LEASE, claim.job)
        told = OUTCOMES[0]

        def finish() -> JobStatus | None:
            number, token = strange.attempt, strange.token
            return handing.finish(
                self.store, strange.job_id, number, token=token, outcome=told, retry_seconds=RETRY
            )

        self.refused(StaleAttempt, finish, claim.job_id)

    @rule(claim=claims)
    def send_log(self, claim: Claim) -> None:
        expected = self.model[claim.job_id]
        may = expected.attempt == claim.attempt and (
            expected.state in LIVE or expected.told is not None or expected.silent
        )

        def put() -> None:
            logs.put(self.store, claim.job_id, claim.attempt, claim.token, b"log")

        if may:
            put()
        else:
            self.refused(StaleAttempt, put, claim.job_id)

    @rule(claim=consumes(claims))
    def forget(self, claim: Claim) -> None:
        """A worker dies: nobody speaks for that attempt again."""

    # What time does.

    @rule(seconds=st.sampled_from([1.0, 7.0, 59.0, 61.0, 300.0]), judged=st.booleans())
    def pass_time(self, seconds: float, judged: bool) -> None:
        self.clock.forward(seconds)
        if judged:
            self.expire()

    @rule()
    def expire(self) -> None:
        now = self.clock()
        late = {i for i, j in self.model.items() if j.state in LIVE and j.lease_until < now}
        assert {status.id for status, _ in queue.expire(self.store, LEASE)} == late
        for job_id in late:
            self.model[job_id].falls_silent(now)
        fold(self.store)

    @rule()
    def settle(self) -> None:
        """Whoever waits for jobs that ended is told, in however many steps."""
        ready, failed = 0, list[JobStatus]()
        while (done := dependencies.settle(self.store)).steps:
            ready, failed = ready + done.ready, [*failed, *done.failed]
        states = {other: job.state for other, job in self.model.items()}
        assert ready == sum(job.hears(self.model, self.clock()) for job in self.model.values())
        ended = {i for i, job in self.model.items() if job.state is not states[i]}
        assert {status.id for status in failed} == ended
        for status in failed:
            assert status.reason is Reason.DEPENDENCY_FAILED
            (first,) = (i for i in self.model if i in (status.error or ""))
            assert states[first] in (State.FAILED, State.CANCELED)

    # What always holds.

    def refused(self, problem: type[Exception], act: Callable[[], object], job_id: str) -> None:
        """Who comes late is told so, and changes nothing."""
        before = jobs.show(self.store, job_id)
        with pytest.raises(problem):
            act()
        assert jobs.show(self.store, job_id) == before

    @invariant()
    def every_job_is_where_it_is_expected(self) -> None:
        with self.store.read() as connection:
            rows = connection.execute(select(jobs_table)).all()
        found = {row.id: (State(row.state), row.attempt, row.cancel_requested) for row in rows}
        assert found == {
            job_id: (expected.state, expected.attempt, expected.cancel_requested)
            for job_id, expected in self.model.items()
        }
        blocked = {row.id for row in rows if row.state == "queued" and row.blocked}
        queued = {i: job for i, job in self.model.items() if job.state is State.QUEUED}
        assert blocked == {job_id for job_id, expected in queued.items() if expected.waits}

    @invariant()
    def jobs_are_counted_as_they_are(self) -> None:
        counted.check(self.store)

    @invariant()
    def nothing_runs_before_all_it_depends_on_completed(self) -> None:
        for expected in self.model.values():
            states = {self.model[other].state for other in expected.depends_on}
            assert expected.attempt == 0 or states <= {State.COMPLETED}

    @invariant()
    def attempts_count_up_and_at_most_the_last_is_live(self) -> None:
        with self.store.read() as connection:
            rows = connection.execute(select(attempts).order_by(attempts.c.number)).all()
        for job_id, expected in self.model.items():
            mine = [row for row in rows if row.job_id == job_id]
            assert [row.number for row in mine] == list(range(1, expected.attempt + 1))
            assert all(row.ended_at is not None for row in mine[:-1])
            if mine:
                assert (mine[-1].ended_at is None) == (expected.state in LIVE)

    def teardown(self) -> None:
        """Every accepted job ends, if there is one honest worker and enough time."""
        for _ in range(100):
            self.clock.forward(1000)
            self.expire()
            self.settle()
            for waiting in list(handing.waiting(self.store)):
                held = self.claim(waiting.job_id, "ada")
                assert isinstance(held, Claim)
                self.tell(held, OUTCOMES[0])
        assert {expected.state for expected in self.model.values()} <= FINAL_STATES


def _compares(statement: str) -> bool:
    """Whether a statement that sets the state of jobs compares state and attempt before."""
    where = statement.partition(" WHERE ")[2]
    return "jobs.attempt = " in where and "state" in where


def test_the_promises_hold(store: Store, clock: Clock, engine: str) -> None:
    class Here(Life):
        pass

    Here.store, Here.clock = store, clock
    examples, steps = EFFORT[engine]
    untyped: Any = run_state_machine_as_test
    said: set[str] = set()
    # PostgreSQL is told by name to carry out what it knows; its context has the words.
    event.listen(store._engine, "before_cursor_execute", lambda *args: said.add(args[4].statement))
    untyped(
        Here,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    moves = [text for text in said if re.match(r"UPDATE jobs SET (.*, )?state=", text)]
    assert len(moves) > 4
    assert [text for text in moves if not _compares(text)] == []
