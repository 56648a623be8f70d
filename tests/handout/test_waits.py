"""Whenever a job waits that a worker could run which asks for one, it is handed out: at once, or
within a second where that depends on other workers; whatever is said in whatever order, however
late, twice, or never heard.

Hypothesis plays people, workers, the network and time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ffmpeg_jobs.model import Heartbeat, Outcome, Reason, State
from ffmpeg_master.wakeup import AGAIN_SECONDS
from tests.conftest import ENGINES
from tests.handout.crew import Asks, At, Message, Worker
from tests.handout.farm import Farm
from tests.handout.people import JOBS, KIND, NAMES, PICK, People

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")

#: Examples and their steps: many where they are quick.
EFFORT = {"sqlite": (40, 50), "postgresql": (20, 50)}

OUTCOMES = (
    Outcome(State.COMPLETED),
    Outcome(State.COMPLETED),
    Outcome(State.FAILED, Reason.NETWORK_ERROR, "broke off"),
    Outcome(State.FAILED, Reason.ENCODER_ERROR, "no such encoder"),
)
OUTCOME = st.sampled_from(OUTCOMES)
LATE = st.sampled_from([False, False, False, True])


class Days(People):
    """Of a farm."""

    # What workers do.

    @rule(name=NAMES, where=PICK, late=LATE)
    def notices(self, name: str, where: int, late: bool) -> None:
        """That its disk is full, or no more."""
        self.crew[name].held_back = None if self.crew[name].held_back else "the disk is full"
        self.crew[name].beat()
        self.say(where, late)

    @rule(where=PICK)
    def all_beat(self, where: int) -> None:
        """As they do where nothing goes wrong."""
        for worker in self.crew.values():
            worker.beat()
            self.say(where, late=False)

    def all_ask(self) -> None:
        """Whoever has room does, at some master; a claim may be late."""
        dice, asked = self.farm.stage.turns, True
        while asked:
            asked = False
            for worker in self.crew.values():
                if worker.may_ask and worker.asked is None:
                    worker.ask(dice.choice([1, 1, 2]), brings=dice.choice([True, False]))
                    self.say(dice.randrange(2), late=dice.randrange(12) == 0)
                    asked = True
            self.farm.settle()

    @precondition(lambda self: bool(self.unanswered))
    @rule(which=PICK, where=PICK)
    def gives_up(self, which: int, where: int) -> None:
        """It hears no answer to its claim any more, and makes another."""
        worker = self.unanswered[which % len(self.unanswered)]
        worker.ask(1, brings=False)
        self.say(where, late=False)

    @property
    def unanswered(self) -> list[Worker]:
        open_ones = list(self.asking.values())
        asked = [worker for worker in self.crew.values() if worker.asked and worker.may_ask]
        return [worker for worker in asked if worker.asked not in open_ones]

    @precondition(lambda self: bool(self.runs))
    @rule(picked=st.lists(PICK, min_size=1, max_size=4), outcome=OUTCOME, where=PICK, late=LATE)
    def ends(self, picked: list[int], outcome: Outcome, where: int, late: bool) -> None:
        """Some are told alone, some with a claim."""
        for which in picked[: len(self.runs)]:
            worker, at = self.runs[which % len(self.runs)]
            worker.end(at, outcome)
            if which % 2:
                worker.tell(at)
                self.say(where, late)

    @precondition(lambda self: bool(self.runs))
    @rule(which=PICK, where=PICK, late=LATE)
    def gives_back(self, which: int, where: int, late: bool) -> None:
        worker, at = self.runs[which % len(self.runs)]
        worker.put_log(at)
        self.say(where, late)
        worker.give_back(at)
        self.say(where, late)

    @property
    def runs(self) -> list[tuple[Worker, At]]:
        return [(worker, at) for worker in self.crew.values() for at in worker.running]

    @rule(name=NAMES, memory_mb=st.sampled_from([4000, 8000]), places=st.integers(1, 3))
    def starts_anew(self, name: str, memory_mb: int, places: int) -> None:
        worker = self.crew[name]
        worker.machine = replace(worker.machine, memory_mb=memory_mb, max_concurrent_jobs=places)
        worker.held_back, worker.draining = None, False
        self.register(worker)

    def say(self, where: int, late: bool) -> None:
        """What was said last arrives now, or ``late``."""
        if not late:
            self.arrive(self.post.pop(), where, heard=True)

    # What the network does.

    @precondition(lambda self: bool(self.post))
    @rule(which=PICK, where=PICK, heard=st.sampled_from([True, True, True, False]))
    def deliver(self, which: int, where: int, heard: bool) -> None:
        self.arrive(self.post.pop(which % len(self.post)), where, heard)

    @precondition(lambda self: bool(self.post))
    @rule(where=PICK)
    def deliver_all(self, where: int) -> None:
        while self.post:
            self.arrive(self.post.pop(0), where, True)
            self.farm.settle()

    @precondition(lambda self: bool(self.post))
    @rule(which=PICK, where=PICK)
    def deliver_and_keep(self, which: int, where: int) -> None:
        """It comes again later; nobody repeats a claim."""
        message = self.post[which % len(self.post)]
        if not isinstance(message.said, Asks):
            self.arrive(message, where, True)

    @precondition(lambda self: bool(self.post))
    @rule(which=PICK)
    def lose(self, which: int) -> None:
        self.post.pop(which % len(self.post))

    def arrive(self, message: Message, where: int, heard: bool) -> None:
        said, told = message.said, self.judge.told
        if isinstance(said, Heartbeat):
            told[message.worker] = told[message.worker].hears(said)
        request = self.ask(where, message.send, message.hear if heard else lambda _: None)
        if isinstance(said, Asks):
            self.asking[request] = said

    @rule()
    def lose_words(self) -> None:
        self.farm.lose_words()

    @rule(slow=st.booleans(), steps=st.integers(1, 3))
    def hurry(self, slow: bool, steps: int) -> None:
        """What follows comes before anybody looks."""
        self.rushing, self.farm.stage.slow = 1 + steps, slow

    # What time does.

    @rule(where=PICK, kinds=st.lists(KIND, min_size=1, max_size=2))
    def submit_big(self, where: int, kinds: list[str]) -> None:
        """It waits until room is kept for it, and others come."""
        self.submit_one(JOBS["big"], where, self.big)
        for _ in range(3):
            self.leap(1)
            self.all_beat(where)
            self.all_ask()
        self.submit(kinds, where)

    @rule(seconds=st.integers(1, 3))
    def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.farm.pass_second()
            self.all_ask()
        self.check(within_a_second=True)

    @rule(times=st.sampled_from([2, 6]))
    def leap(self, times: int) -> None:
        """Maybe for longer than a lease."""
        for _ in range(times):
            self.farm.leap()

    @rule()
    def look_by_age(self) -> None:
        """Claims that look again now go by who waits longest."""
        self.oldest_first = True
        self.farm.pass_second()
        self.oldest_first = False

    # What always holds.

    @invariant()
    def all_that_can_be_is_handed_out(self) -> None:
        if self.rushing > 0:
            self.rushing -= 1
            return
        self.farm.settle()
        self.all_ask()
        self.check(within_a_second=False)

    def check(self, *, within_a_second: bool) -> None:
        assert self.judge.faults == []
        resting = self.farm.stage.resting
        self.asking = {request: one for request, one in self.asking.items() if resting(request)}
        for request, asked in self.asking.items():
            rest = resting(request)
            if within_a_second or (rest is not None and rest.seconds > AGAIN_SECONDS):
                assert self.judge.due(asked) is None, asked

    def teardown(self) -> None:
        self.farm.settle()
        self.pass_seconds(1)


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_nobody_idles_while_a_job_waits(
    farm: Farm, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Here(Days):
        pass

    Here.farm, Here.patch = farm, monkeypatch.setattr
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
