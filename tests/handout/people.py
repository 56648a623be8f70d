"""What people ask of a farm, for the state machine of who waits."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ffmpeg_jobs.model import FINAL_STATES, JobStatus, Machine
from ffmpeg_jobs.problems import Conflict, NotFound, StaleAttempt
from ffmpeg_master import choosing
from ffmpeg_master.store import intake
from ffmpeg_master.store.jobs import timestamp
from tests.handout.crew import Asks, Message, Worker
from tests.handout.farm import Farm
from tests.handout.judge import Judge, Told

MACHINES = {
    "ada": Machine(4, 8000, 100_000, max_concurrent_jobs=2),
    "bob": Machine(4, 8000, 100_000, max_concurrent_jobs=1, preempts=True, labels={"is": "bob"}),
    "cyd": Machine(2, 4000, 100_000, max_concurrent_jobs=2),
}
NAMES = st.sampled_from(sorted(MACHINES))
#: What jobs ask for.
JOBS: dict[str, dict[str, Any]] = {
    "any": {},
    "small": {"resource_limits": {"max_memory_mb": 500, "max_cpu_percent": 100}},
    "big": {"resource_limits": {"max_memory_mb": 7000, "max_cpu_percent": 100}},
    "live": {"queue": "live", "resource_limits": {"max_memory_mb": 500}},
    "bob's": {"worker_labels": {"is": "bob"}},
}
LIMITS = ({"max_memory_mb": 500}, {"max_memory_mb": 7000}, {"max_cpu_percent": 100})
KIND = st.sampled_from(sorted(JOBS))
PICK = st.integers(0, 1000)
#: What may be said to who comes too late.
REFUSALS = (Conflict, NotFound, StaleAttempt)


class People(RuleBasedStateMachine):
    """Who submit, cancel, change, and set workers aside."""

    farm: Farm
    patch: Callable[[Any, str, Any], None]

    def __init__(self) -> None:
        super().__init__()
        self.farm.empty()
        self.judge = Judge(self.farm.store)
        self.judge.watch(self.patch)
        self.rushing = 0  #: steps that nobody waits after
        self.oldest_first = False
        dice = SimpleNamespace(randrange=lambda _: 0 if self.oldest_first else 1)
        self.patch(choosing, "random", dice)
        self.post: list[Message] = []
        self.crew: dict[str, Worker] = {}
        self.jobs: list[str] = []
        self.big: list[str] = []
        self.asking: dict[Any, Asks] = {}  #: claims that arrived, by their requests

    @initialize(seed=PICK, old=st.sampled_from([None, *MACHINES]))
    def begin(self, seed: int, old: str | None) -> None:
        self.farm.stage.turns = dice = random.Random(seed)
        # Else the same steps would not be the same again.
        self.patch(intake, "_new_id", lambda: "".join(dice.choices("abcdefgh", k=12)))
        for name, machine in MACHINES.items():
            self.crew[name] = Worker(name, machine, self.post, counts=name != old)
            self.register(self.crew[name])

    def register(self, worker: Worker) -> None:
        worker.forget()
        self.judge.told[worker.name] = replace(self.judge.told.get(worker.name, Told()), word=None)
        self.ask(0, lambda client: client.register(worker.name, worker.machine))

    def ask(
        self, where: int, work: Callable[[Any], Any], hear: Callable[[Any], Any] = lambda _: None
    ) -> Any:
        """Have a master do something, as far as it goes without waiting."""
        client = self.farm.clients[where % len(self.farm.clients)]

        def request() -> None:
            try:
                answer = work(client)
            except REFUSALS:
                return
            hear(answer)

        return self.farm.stage.begin(request)

    @rule(kinds=st.lists(KIND, min_size=1, max_size=3), where=PICK)
    def submit(self, kinds: list[str], where: int) -> None:
        for kind in kinds:
            self.submit_one(JOBS[kind], where)

    @rule(kind=KIND, where=PICK, seconds=st.sampled_from([0.2, 1.6, 2.0]))
    def submit_for_later(self, kind: str, where: int, seconds: float) -> None:
        due_at = timestamp(self.farm.clock() + seconds)
        self.submit_one({**JOBS[kind], "not_before": due_at}, where)

    @precondition(lambda self: bool(self.big))
    @rule(where=PICK, canceled=st.booleans())
    def spare_big(self, where: int, canceled: bool) -> None:
        """No room is needed for it any more."""
        job_id = self.big.pop()
        if canceled:
            self.ask(where, lambda client: client.cancel(job_id))
        else:
            self.ask(where, lambda client: client.set_limits(job_id, {"max_memory_mb": 500}))

    def submit_one(self, asked: dict[str, Any], where: int, *lists: list[str]) -> None:
        job = {"parameters": {"duration": 5}, **asked}

        def hear(status: JobStatus) -> None:
            for ids in (self.jobs, *lists):
                ids.append(status.id)

        self.ask(where, lambda client: client.submit(job), hear)

    @precondition(lambda self: bool(self.jobs))
    @rule(which=PICK, where=PICK)
    def submit_dependent(self, which: int, where: int) -> None:
        if self.farm.clients[0].job(self.a_job(which)).state not in FINAL_STATES:
            self.submit_one({"depends_on": [self.a_job(which)]}, where)

    @precondition(lambda self: bool(self.jobs))
    @rule(which=PICK, where=PICK)
    def cancel(self, which: int, where: int) -> None:
        self.ask(where, lambda client: client.cancel(self.a_job(which)))

    @precondition(lambda self: bool(self.jobs))
    @rule(which=PICK, where=PICK, limits=st.sampled_from(LIMITS))
    def set_limits(self, which: int, where: int, limits: dict[str, int]) -> None:
        self.ask(where, lambda client: client.set_limits(self.a_job(which), limits))

    def a_job(self, which: int) -> str:
        return self.jobs[-1 - which % len(self.jobs)]

    @rule(name=NAMES, where=PICK, verb=st.sampled_from(["cordon", "drain"]))
    def set_aside(self, name: str, where: int, verb: str) -> None:
        """One, until it takes jobs again."""
        told = self.judge.told
        away = [one for one in told if told[one].cordoned or told[one].drained]
        if not away:
            more = {"cordoned": True} if verb == "cordon" else {"drained": True}
            told[name] = replace(told[name], **more)
            how = {"cordon": lambda client: client.ask_worker(name, verb)}
            self.ask(where, how.get(verb, lambda client: client.drain(name)))
            return
        (name,) = away
        verb = "uncordon" if told[name].cordoned else "undrain"
        told[name] = replace(told[name], cordoned=False, drained=False)
        self.ask(where, lambda client: client.ask_worker(name, verb))
