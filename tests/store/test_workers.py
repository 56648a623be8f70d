"""What workers say of themselves stands until they say otherwise, and not longer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import pytest

from ffmpeg_jobs.model import Free, Heartbeat, Job, Machine, WorkerStatus
from ffmpeg_jobs.problems import Conflict
from ffmpeg_master.model import Left, Needs
from ffmpeg_master.store import claims, intake, queue, workers
from ffmpeg_master.store.engine import Store
from tests.store.conftest import Clock
from tests.store.test_queue import LEASE

FREE = Free(cpu_percent=150, memory_mb=4096, disk_mb=20000, slots=1)
WHY = "io pressure is 91 % (some avg10); new jobs wait until it is below 64 %"


def ada(store: Store) -> WorkerStatus:
    return next(row for row in workers.show_all(store, LEASE) if row.name == "ada")


def test_what_is_free_and_why_no_job_is_taken(store: Store) -> None:
    assert (ada(store).free, ada(store).held_back) == (None, None)
    queue.heartbeat(store, "ada", Heartbeat(free=FREE, held_back=WHY), LEASE)
    assert (ada(store).free, ada(store).held_back) == (FREE, WHY)
    queue.heartbeat(store, "ada", Heartbeat(free=FREE), LEASE)
    assert (ada(store).free, ada(store).held_back) == (FREE, None)


def test_a_worker_that_registers_anew_has_said_nothing_yet(store: Store) -> None:
    queue.heartbeat(store, "ada", Heartbeat(free=FREE, held_back=WHY), LEASE)
    machine = Machine(4, 8192, 1000, 2, jobs_cpu_percent=400, jobs_memory_mb=7372)
    workers.register(store, "ada", machine)
    assert (ada(store).free, ada(store).held_back) == (None, None)
    assert ada(store).machine == machine


@contextmanager
def claiming(store: Store) -> Iterator[None]:
    """A claim of ada's has looked at its worker, and goes on afterwards; it gets a job."""
    job_id = intake.submit(store, intake.Submission(Job(), Needs(), 4, "digest"))[0].id
    looked, go_on = threading.Event(), threading.Event()

    def choices() -> claims.Choices:
        assert not workers.member(store, "ada", 60).held_back
        looked.set()
        go_on.wait(30)
        yield [job_id]
        return Left.SOME

    with ThreadPoolExecutor() as pool:
        asked = claims.Asked("ada", lease_seconds=60, retry_seconds=5)
        given = pool.submit(claims.claim, store, asked, choices())
        assert looked.wait(30)
        yield
        go_on.set()
        assert [claim.job_id for claim in given.result().claims] == [job_id]


def test_a_worker_whose_claim_is_on_its_way_is_not_forgotten(store: Store, clock: Clock) -> None:
    clock.forward(61)  # it is not heard
    with ThreadPoolExecutor() as pool:
        with claiming(store):
            removed = pool.submit(workers.remove, store, "ada", 60)
            wait([removed], timeout=0.5)
        with pytest.raises(Conflict, match="holds 1 of its jobs"):
            removed.result()


def test_who_is_cordoned_gets_nothing_from_then_on(store: Store) -> None:
    with ThreadPoolExecutor() as pool, claiming(store):
        cordoned = pool.submit(workers.set_cordoned, store, "ada", True)
        assert not wait([cordoned], timeout=0.5).done
