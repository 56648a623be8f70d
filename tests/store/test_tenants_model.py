"""Tenants' limits against a model: one after the other, and all at once.

One after the other, Hypothesis looks for a claim that gets too much, or not what it could get. At
once, threads submit, claim and end jobs, while another looks at what there is at any moment.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, select

from ffmpeg_jobs.model import Claim, Job, Limits, Machine, Outcome, State, TenantLimits
from ffmpeg_jobs.problems import StaleAttempt, TenantForbids, TenantFull
from ffmpeg_master import scheduling, tenancy
from ffmpeg_master.config import Config, read
from ffmpeg_master.store import jobs, queue, tenants, workers
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import jobs as jobs_table
from ffmpeg_master.store.tables import tenants as tenants_table
from ffmpeg_master.store.troubles import Collision
from tests.store.conftest import Clock
from tests.store.test_tenants import claim, finish, limit, submit

DONE = Outcome(State.COMPLETED)
NAMES = ("ann", "bob", "eve")
ASKS = (None, 50, 70, 100, 120, 300)
LIVE = ("running", "paused")
#: A worker that has room for all there is: only tenants' limits hold a job back.
GIANT = Machine(4096, 1 << 30, 1 << 30, max_concurrent_jobs=1000)
EFFORT = {"sqlite": (25, 30), "postgresql": (8, 30)}
_LIMITS = st.builds(
    TenantLimits,
    max_queued=st.sampled_from([None, 0, 2, 5]),
    max_running=st.sampled_from([None, 0, 1, 3]),
    max_cpu_percent=st.sampled_from([None, 60, 150, 300]),
)


@dataclass(frozen=True)
class Row:
    """A job as it stands."""

    id: str
    tenant: str
    state: str
    line: str
    percent: int


def rows(store: Store) -> list[Row]:
    """All jobs at one moment, by age."""
    with store.read() as connection:
        found = connection.execute(select(jobs_table).order_by(jobs_table.c.number)).all()
    return [Row(r.id, r.tenant, r.state, r.line, r.cpu_percent or 100) for r in found]


def held(found: list[Row], tenant: str) -> tenancy.Held:
    mine = [row.percent for row in found if row.tenant == tenant and row.state in LIVE]
    return tenancy.Held(len(mine), sum(mine))


def within(limits: TenantLimits, mine: tenancy.Held) -> bool:
    most_jobs, most_cpu = limits.max_running, limits.max_cpu_percent
    return (most_jobs is None or mine.jobs <= most_jobs) and (
        most_cpu is None or mine.cpu_percent <= most_cpu
    )


class Tenants(RuleBasedStateMachine):
    """Tenants that submit, a worker that takes all it gets, an admin who changes his mind."""

    store: Store
    clock: Clock
    config: Config
    claims: Any = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        with self.store.write() as connection:
            connection.execute(delete(jobs_table))
            connection.execute(delete(tenants_table))
        workers.register(self.store, "giant", GIANT)
        self.limits = {name: TenantLimits() for name in NAMES}

    @initialize(limits=st.tuples(_LIMITS, _LIMITS))
    def begin(self, limits: tuple[TenantLimits, TenantLimits]) -> None:
        for name, wanted in zip(NAMES, limits, strict=False):
            self.set_limits(name, wanted)

    @rule(name=st.sampled_from(NAMES), limits=_LIMITS)
    def set_limits(self, name: str, limits: TenantLimits) -> None:
        tenants.change(self.store, name, lambda _before: limits)
        self.limits[name] = limits

    @rule(name=st.sampled_from(NAMES), percent=st.sampled_from(ASKS), times=st.integers(1, 3))
    def submit(self, name: str, percent: int | None, times: int) -> None:
        limits = self.limits[name]
        for _ in range(times):
            queued = sum(r.tenant == name and r.state == "queued" for r in rows(self.store))
            too_large = percent is not None and percent > (limits.max_cpu_percent or 1000)
            full = limits.max_queued is not None and queued >= limits.max_queued
            try:
                submit(self.store, name, resource_limits=Limits(percent))
            except TenantForbids:
                assert too_large
            except TenantFull:
                assert full
            else:
                assert not too_large and not full

    @rule(target=claims, most=st.integers(1, 4))
    def claim(self, most: int) -> Any:
        before = rows(self.store)
        got = claim(self.store, self.config, "giant", most)
        found = rows(self.store)
        taken = Counter(row.tenant for row in before if row.id in {one.job_id for one in got})
        for name, limits in self.limits.items():
            # One that had too much, because its limits were lowered, gets nothing.
            assert not taken[name] or within(limits, held(found, name))
        for one in got:
            assert one.tenant == next(row.tenant for row in before if row.id == one.job_id)
        if len(got) < most:
            self.nothing_is_left_that_may_run(found)
        return multiple(*got)

    def nothing_is_left_that_may_run(self, found: list[Row]) -> None:
        """Of each line the first waits for its tenant, and those behind it for it."""
        heads: dict[str, Row] = {}
        for row in found:
            if row.state == "queued":
                heads.setdefault(row.line, row)
        for row in heads.values():
            mine = held(found, row.tenant)
            then = tenancy.Held(mine.jobs + 1, mine.cpu_percent + row.percent)
            assert not within(self.limits[row.tenant], then)
            asked = scheduling.needs(Job(resource_limits=Limits(row.percent)))
            assert tenants.holds_back(self.store, row.tenant, asked) is not None

    @rule(one=consumes(claims))
    def end(self, one: Claim) -> None:
        with suppress(StaleAttempt):  # one that was lost meanwhile
            finish(self.store, one, DONE)

    @rule(one=consumes(claims))
    def lose(self, one: Claim) -> None:
        """Its worker vanishes; whoever else is late is queued again too."""
        self.clock.forward(61)
        queue.expire(self.store, 60, 0)
        assert jobs.show(self.store, one.job_id).state in (State.QUEUED, State.FAILED)

    @invariant()
    def what_is_told_is_what_there_is(self) -> None:
        found = rows(self.store)
        for status in tenants.show_all(self.store):
            assert (status.running, status.cpu_percent) == tuple(
                vars(held(found, status.name)).values()
            )


def test_one_after_the_other(store: Store, clock: Clock, engine: str) -> None:
    class Here(Tenants):
        pass

    Here.store, Here.clock, Here.config = store, clock, read(None, {}, {})
    examples, steps = EFFORT[engine]
    untyped: Any = run_state_machine_as_test
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


def again(work: Callable[[], Any]) -> Any:
    """As the application does: two transactions met."""
    while True:
        try:
            return work()
        except Collision:
            time.sleep(0.001)


class Farm:
    """Submitters and workers at once, and one who looks."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.config, self.dice = store, read(None, {}, {}), random.Random(seed)
        self.limits = {
            name: TenantLimits(
                max_queued=self.dice.choice((None, 3, 6)),
                max_running=self.dice.choice((None, 1, 2)),
                max_cpu_percent=self.dice.choice((None, 120, 300)),
            )
            for name in NAMES
        }
        self.faults: list[BaseException] = []
        self.accepted: list[str] = []
        self.over = threading.Event()

    def submitter(self, name: str, asks: list[int]) -> None:
        for percent in asks:
            try:
                asked = {"resource_limits": Limits(percent)}
                self.accepted.append(again(partial(submit, self.store, name, **asked)))
            except (TenantFull, TenantForbids):
                time.sleep(0.005)

    def worker(self, name: str, dice: random.Random) -> None:
        while not self.over.is_set():
            got = again(lambda: claim(self.store, self.config, name, dice.randint(1, 3)))
            for one in got:
                again(partial(finish, self.store, one, DONE))

    def looker(self) -> None:
        while not self.over.is_set():
            found = rows(self.store)
            for name, limits in self.limits.items():
                assert within(limits, held(found, name)), (name, limits, held(found, name))
                queued = sum(row.tenant == name and row.state == "queued" for row in found)
                assert limits.max_queued is None or queued <= limits.max_queued

    def start(self, work: Callable[..., None], *arguments: Any) -> threading.Thread:
        def watched() -> None:
            try:
                work(*arguments)
            except BaseException as fault:  # noqa: BLE001 - told by the test
                self.faults.append(fault)
                self.over.set()

        thread = threading.Thread(target=watched)
        thread.start()
        return thread


@pytest.mark.parametrize("seed", range(3))
def test_all_at_once(store: Store, seed: int) -> None:
    farm = Farm(store, seed)
    for name, limits in farm.limits.items():
        limit(store, name, **vars(limits))
    for number in range(3):
        workers.register(store, f"giant-{number}", GIANT)
    asks = {name: [farm.dice.choice((50, 70, 100, 120)) for _ in range(15)] for name in NAMES}
    busy = [farm.start(farm.submitter, name, asks[name]) for name in NAMES]
    others = [
        farm.start(farm.worker, f"giant-{number}", random.Random(seed + number))
        for number in range(3)
    ]
    others.append(farm.start(farm.looker))
    for thread in busy:
        thread.join(120)
    deadline = time.monotonic() + 120
    while jobs.counts(store) != (0, 0) and not farm.over.is_set() and time.monotonic() < deadline:
        time.sleep(0.01)
    farm.over.set()
    for thread in others:
        thread.join(120)
    assert farm.faults == []
    ended = [row.state for row in rows(store)]
    assert ended == ["completed"] * len(farm.accepted)
    assert ended
