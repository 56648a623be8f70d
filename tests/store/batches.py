"""Claims of several jobs that bring results, for the state machine of jobs."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, multiple, rule
from sqlalchemy import func, select

from ffmpeg_jobs.model import Claim, Job, Outcome, Result, State
from ffmpeg_master.model import Left, Needs
from ffmpeg_master.store import claims as store_claims
from ffmpeg_master.store import intake
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import is_live, jobs
from tests import handing
from tests.store.conftest import Clock
from tests.store.expected import LEASE, LIVE, OUTCOMES, RETRY, Expected

MOST = 2  #: jobs that a worker may hold
NAMES = ("ada", "bob", "cyd")


class Batches(RuleBasedStateMachine):
    """Workers that tell and ask in one request."""

    store: Store
    clock: Clock
    model: dict[str, Expected]

    claims: Any = Bundle("claims")

    @rule(
        target=claims,
        told=st.lists(st.tuples(claims, st.sampled_from(OUTCOMES)), max_size=4),
        worker=st.sampled_from(NAMES),
        most=st.integers(1, 3),
        fresh=st.integers(0, 3),
    )
    def claim_several(
        self, told: list[tuple[Claim, Outcome]], worker: str, most: int, fresh: int
    ) -> Any:
        for _ in range(fresh):  # mostly there is more than one to take
            status, _ = intake.submit(self.store, intake.Submission(Job(), Needs(), 4, "digest"))
            self.model[status.id] = Expected(status.job.max_attempts, self.clock())
        results = tuple(Result(c.job_id, c.attempt, c.token, outcome) for c, outcome in told)
        asked = store_claims.Asked(worker, LEASE, RETRY, most, results=results)
        given = store_claims.claim(self.store, asked, self.choices(worker, most))

        # Of two results of one attempt the last counts.
        last = {(claim.job_id, claim.attempt): (claim, outcome) for claim, outcome in told}
        heard = {at: self.hears_result(*one, worker) for at, one in last.items()}
        assert {status.id for status in given.ended} == {at[0] for at in heard if heard[at]}
        refused = {(row.job_id, row.attempt) for row in given.refused}
        assert refused == {at for at in heard if heard[at] is None}

        room = min(most, MOST - self.holds(worker))
        assert len(given.claims) <= max(room, 0)
        for claim in given.claims:
            assert self.may_go(self.model[claim.job_id])
            self.is_taken(claim, worker)
        if len(given.claims) < room:
            assert not any(self.must_go(job) for job in self.model.values())
        return multiple(*given.claims)

    def choices(self, worker: str, most: int) -> store_claims.Choices:
        """What waits, in its order, as long as the worker has room."""
        held = select(func.count()).where(jobs.c.worker == worker, is_live)
        with self.store.read() as connection:
            room = min(most, MOST - connection.execute(held).scalar_one())
        waiting = [job.job_id for job in handing.waiting(self.store)]
        while room > 0 and waiting:
            got = yield waiting[:room]
            waiting, room = waiting[room:], room - len(got)
        return Left.SOME

    def hears_result(self, claim: Claim, outcome: Outcome, worker: str) -> bool | None:
        """Whether it ends the attempt; False: it is a repeat, None: it comes too late, or from
        another worker than the attempt's."""
        expected = self.model[claim.job_id]
        if expected.worker != worker:
            return None
        latest = expected.attempt == claim.attempt
        if expected.live(claim) or (latest and expected.counts_late(outcome)):
            expected.ends(outcome, self.clock())
            expected.told, expected.silent = outcome, False
            return True
        repeats = latest and expected.told == outcome
        return False if repeats else None

    def holds(self, worker: str) -> int:
        return sum(job.worker == worker and job.state in LIVE for job in self.model.values())

    def may_go(self, expected: Expected) -> bool:
        ready = expected.state is State.QUEUED and not expected.waits
        return ready and expected.not_before <= self.clock()

    def must_go(self, expected: Expected) -> bool:
        """It may, and its wait is over even with the spread."""
        spread = 0.25 * RETRY * 2 ** (expected.tries - 1)
        return self.may_go(expected) and self.clock() >= expected.not_before + spread

    def is_taken(self, claim: Claim, worker: str) -> None:
        expected = self.model[claim.job_id]
        expected.attempt += 1
        expected.tries += 1
        expected.state, expected.worker, expected.told = State.RUNNING, worker, None
        expected.lease_until, expected.silent = self.clock() + LEASE, False
        assert claim.attempt == expected.attempt
