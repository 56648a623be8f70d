"""The big one: two masters under load, one is killed, then the database; and it is counted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.model import Claim, Heartbeat, Outcome, Report, Result, State
from ffmpeg_jobs.problems import MasterUnreachable, Problem, StaleAttempt, Unavailable
from ffmpeg_master.store.tables import attempts, jobs
from tests.api.conftest import JOB, MACHINE, until
from tests.masters.conftest import Farm
from tests.postgres import Postgres

DONE = Outcome(State.COMPLETED)
JOBS = 300
SUBMITTERS = 3
WORKERS = 4


@dataclass(frozen=True)
class Seen:
    """What the clients were told."""

    accepted: list[str] = field(default_factory=list)  #: 201
    finished: list[tuple[str, int]] = field(default_factory=list)  #: job and attempt: 204
    stop: threading.Event = field(default_factory=threading.Event)


def until_answered(call: Callable[[], Any], stop: threading.Event) -> Any:
    """Ask until a master answers, as the worker does."""
    while True:
        try:
            return call()
        except StaleAttempt:
            raise
        except (MasterUnreachable, Problem) as trouble:
            if stop.is_set() or (isinstance(trouble, Problem) and trouble.status < 500):
                raise
            time.sleep(0.1)


def submitter(client: MasterClient, number: int, seen: Seen) -> None:
    for count in range(JOBS // SUBMITTERS):
        key = f"submitter-{number}-job-{count}"
        status = until_answered(partial(client.submit, JOB, key), seen.stop)
        seen.accepted.append(status.id)


class Worker:
    """Takes several jobs at once, and tells of them with the next claim; a heartbeat goes beside.

    As a real one, it tells again, each alone, what travelled with a claim that was not answered.
    """

    def __init__(self, client: MasterClient, name: str, seen: Seen) -> None:
        self.client, self.name, self.seen = client, name, seen
        self.running: tuple[Claim, ...] = ()
        self.serial = 0

    def heartbeats(self) -> None:
        while not self.seen.stop.wait(0.2):
            serial = self.serial  # read first: what earlier claims brought is in the reports
            reports = tuple(Report(c.job_id, c.attempt, c.token) for c in self.running)
            with suppress(MasterUnreachable, Problem):
                self.client.heartbeat(self.name, Heartbeat(reports, claim_serial=serial))

    def work(self) -> None:
        until_answered(partial(self.client.register, self.name, MACHINE), self.seen.stop)
        threading.Thread(target=self.heartbeats, daemon=True).start()
        while not self.seen.stop.is_set():
            self.serial += 1
            done = [Result(c.job_id, c.attempt, c.token, DONE) for c in self.running]
            try:
                found = self.client.claims(self.name, 1, self.serial, most=3, results=done)
            except (MasterUnreachable, Problem):
                for result in done:
                    self.tell(result)
                self.running = ()
                time.sleep(0.1)
                continue
            refused = {(row.job_id, row.attempt) for row in found.refused}
            told = [(row.job_id, row.attempt) for row in done]
            self.seen.finished.extend(at for at in told if at not in refused)
            self.running = found.claims

    def tell(self, result: Result) -> None:
        tell = partial(self.client.finish, result.job_id, result.attempt, result.token, DONE)
        with suppress(StaleAttempt):
            until_answered(tell, self.seen.stop)
            self.seen.finished.append((result.job_id, result.attempt))


@pytest.fixture
def settings() -> str:
    return "[leases]\nlease_seconds = 4\nheartbeat_seconds = 1\nidle_heartbeat_seconds = 2\n"


def test_nothing_is_lost_done_twice_or_forgotten(farm: Farm, postgres: Postgres) -> None:
    for master in farm.masters:
        master.ready()
    seen = Seen()
    roles: list[Callable[[], None]] = []
    roles += [partial(submitter, farm.client(), n, seen) for n in range(SUBMITTERS)]
    roles += [Worker(farm.client(), f"worker{n}", seen).work for n in range(WORKERS)]
    threads = [threading.Thread(target=role, daemon=True) for role in roles]
    for thread in threads:
        thread.start()

    until(lambda: len(seen.finished) > JOBS * 0.2)
    farm.lose(0)
    until(lambda: len(seen.finished) > JOBS * 0.4)
    postgres.stop("immediate")
    time.sleep(1)
    postgres.start()
    until(lambda: len(seen.finished) > JOBS * 0.6)
    farm.launch(0).ready()
    for thread in threads[:SUBMITTERS]:
        thread.join(60)
    until(lambda: _count(farm, State.COMPLETED) == JOBS)
    seen.stop.set()
    for thread in threads:
        thread.join(60)

    # None was forgotten that was accepted, and none was accepted twice.
    kept = {row.id for row in _rows(farm, select(jobs.c.id))}
    assert (set(seen.accepted), len(seen.accepted)) == (kept, JOBS)
    # None was lost: all are done. And none was done twice, neither to a worker nor on the disk.
    assert _count(farm, State.COMPLETED) == JOBS
    assert max(Counter(job for job, _ in seen.finished).values()) == 1
    completed = attempts.c.outcome.like('%"state":"completed"%')
    each = select(func.count()).where(completed).group_by(attempts.c.job_id)
    assert {row[0] for row in _rows(farm, each)} == {1}
    for master in farm.masters:
        assert "request_failed" not in master.log


def _count(farm: Farm, state: State) -> int:
    return int(_rows(farm, select(func.count()).where(jobs.c.state == state.value))[0][0])


def _rows(farm: Farm, query: Any) -> list[Any]:
    while True:
        # The connection that was open when the database was killed says so once.
        with suppress(Unavailable), farm.store.read() as connection:
            return list(connection.execute(query))
