"""What workers say of themselves stands until they say otherwise, and not longer."""

from __future__ import annotations

from ffmpeg_jobs.model import Free, Heartbeat, Machine, WorkerStatus
from ffmpeg_master.store import queue, workers
from ffmpeg_master.store.engine import Store
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
