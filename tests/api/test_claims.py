"""A claim is held open until there is work for it; what a worker does then."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event

from ffmpeg_jobs.model import (
    Heartbeat,
    Machine,
    Order,
    Outcome,
    Progress,
    Reason,
    Report,
    Role,
    State,
)
from ffmpeg_jobs.problems import NotFound, StaleAttempt
from ffmpeg_master.store import jobs, workers
from tests.api.conftest import JOB, MACHINE, PATIENCE_SECONDS, Inside, in_thread, until
from tests.conftest import ENGINES

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)

DONE = Outcome(State.COMPLETED)


def held(inside: Inside, count: int) -> None:
    until(lambda: len(inside.master.wakeup) == count)


def test_a_waiting_claim_is_woken_by_a_submit(inside: Inside) -> None:
    inside.client().register("ada", MACHINE)
    client = inside.client()
    thread, found = in_thread(lambda: inside.client(Role.WORKER).claim("ada", PATIENCE_SECONDS))
    held(inside, 1)
    assert found == []
    status = client.submit(JOB)
    thread.join(PATIENCE_SECONDS)
    assert [claim.job_id for claim in found] == [status.id]
    assert client.job(status.id).state is State.RUNNING


def test_a_job_that_somebody_was_just_at_is_not_left_behind(inside: Inside) -> None:
    inside.client().register("ada", MACHINE)
    job_id = inside.client().submit(JOB).id
    client = inside.client(Role.WORKER)
    with inside.master.store.write() as connection:
        jobs.get(connection, job_id)  # and holds it
        thread, found = in_thread(lambda: client.claim("ada", PATIENCE_SECONDS))
        time.sleep(0.2)
        assert found == []
    thread.join(PATIENCE_SECONDS / 2)
    assert [claim and claim.job_id for claim in found] == [job_id]


def test_without_work_a_claim_ends_empty(inside: Inside) -> None:
    inside.client().register("ada", MACHINE)
    assert inside.client().claim("ada", 0.05) is None


def test_each_job_goes_to_one_of_those_who_wait(inside: Inside) -> None:
    names = [f"w{n}" for n in range(6)]
    for name in names:
        inside.client().register(name, MACHINE)
    waits = [in_thread(partial(inside.client().claim, name, 50)) for name in names]
    held(inside, 6)
    ids = {inside.client().submit(JOB).id for _ in range(4)}
    until(lambda: sum(len(found) for _, found in waits) == 4)
    held(inside, 2)  # the others go on waiting
    inside.master.wakeup.close()
    for thread, _ in waits:
        thread.join(PATIENCE_SECONDS)
    got = [found[0].job_id for _, found in waits if found[0] is not None]
    assert sorted(got) == sorted(ids)


def test_a_job_goes_past_waiters_that_it_does_not_fit(inside: Inside) -> None:
    client = inside.client()
    small = Machine(cpus=1, memory_mb=512, disk_free_mb=1, max_concurrent_jobs=1)
    for name in ("small-1", "small-2"):
        client.register(name, small)
        in_thread(partial(inside.client().claim, name, 50))
    held(inside, 2)
    client.register("gpu", Machine(8, 9000, 1, 1, encoders=("h264_nvenc",)))
    thread, found = in_thread(lambda: inside.client().claim("gpu", 50))
    held(inside, 3)
    job_id = client.submit({"parameters": {"duration": 5, "encoder": "h264_nvenc"}}).id
    thread.join(PATIENCE_SECONDS)
    assert [claim.job_id for claim in found] == [job_id]
    held(inside, 2)


def test_a_job_goes_to_a_worker_that_has_its_folders(inside: Inside) -> None:
    client = inside.client()
    client.register("a", replace(MACHINE, input_roots=("/mnt/a",), output_roots=("/mnt/out",)))
    # Of those that it cannot run there are more than one look at a line finds.
    many: list[dict[str, Any]] = [{**JOB, "input": f"/mnt/b/{i}.mp4"} for i in range(600)]
    ids = [job.id for job in client.submit_batch(many)]
    job = client.submit({**JOB, "input": "/mnt/a/x.mp4", "output": "/mnt/out/x.mp4"}).id
    claim = client.claim("a", 1)
    assert claim is not None and claim.job_id == job
    assert client.claim("a", 0) is None
    assert client.job(ids[0]).waiting_for == "a worker with /mnt/b among its input_roots"
    # What it can use is told anew when that changes.
    client.register("b", replace(MACHINE, input_roots=(), output_roots=()))
    assert client.claim("b", 0) is None
    client.register("b", replace(MACHINE, input_roots=("/mnt/b",), output_roots=()))
    claim = client.claim("b", 1)
    assert claim is not None and claim.job_id == ids[0]


def test_a_job_that_must_be_held_to_its_limits_waits_for_a_machine_that_can(
    inside: Inside,
) -> None:
    client = inside.client()
    client.register("unable", MACHINE)
    job_id = client.submit({"parameters": {"duration": 5}, "require_enforcement": True}).id
    other_id = client.submit({"parameters": {"duration": 5}}).id
    claim = client.claim("unable", 1)
    assert claim is not None and claim.job_id == other_id
    assert client.job(job_id).waiting_for == "a worker with a kernel that enforces its limits"
    client.register("able", replace(MACHINE, enforced=("cpu", "memory", "pids")))
    assert client.job(job_id).waiting_for == "room: 1 of 2 workers could run it"
    claim = client.claim("able", 1)
    assert claim is not None and claim.job_id == job_id


def test_a_worker_that_requires_enforcement_gets_what_allows_to_go_without(
    inside: Inside,
) -> None:
    client = inside.client()
    client.register("strict", replace(MACHINE, require_enforcement=True))
    client.submit({"parameters": {"duration": 5}})
    allowed = client.submit({"parameters": {"duration": 5}, "require_enforcement": False}).id
    claim = client.claim("strict", 1)
    assert claim is not None and claim.job_id == allowed
    assert client.claim("strict", 0) is None


def test_a_worker_that_starts_anew_does_not_take_a_job_unheard(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    thread, found = in_thread(lambda: inside.client().claim("ada", 50))
    held(inside, 1)
    client.register("ada", MACHINE)
    thread.join(PATIENCE_SECONDS)
    assert found == [None]
    client.submit(JOB)
    assert client.claim("ada", 0) is not None


def test_a_full_worker_gets_nothing(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", Machine(4, 8192, 1000, max_concurrent_jobs=1))
    for _ in range(2):
        client.submit(JOB)
    first = client.claim("ada", 0)
    assert first is not None
    assert client.claim("ada", 0) is None
    client.finish(first.job_id, 1, first.token, DONE)
    assert client.claim("ada", 0) is not None


def test_where_very_many_wait_each_is_heard_more_seldom(inside: Inside) -> None:
    client, wakeup = inside.client(), inside.master.wakeup
    for number in range(800):
        waits = partial(wakeup.wait_for, f"ada-{number}", PATIENCE_SECONDS, lambda: None)
        threading.Thread(target=waits, daemon=True).start()
    until(lambda: len(wakeup) == 800)
    assert client.register("ada", MACHINE).heartbeat_seconds == 16
    wakeup.close()
    until(lambda: len(wakeup) == 0)
    assert client.register("ada", MACHINE).heartbeat_seconds == 15


def test_who_is_not_known_is_told_so_though_there_is_no_job(inside: Inside) -> None:
    with pytest.raises(NotFound):
        inside.client().claim("ada", 0)


def test_heartbeats_show_progress_and_bring_orders(inside: Inside) -> None:
    client = inside.client()
    idle = client.register("ada", MACHINE)
    assert (idle.orders, idle.heartbeat_seconds, idle.lease_seconds) == ((), 15, 60)
    job_id = client.submit(JOB).id
    claim = client.claim("ada", 0)
    assert claim is not None
    report = Report(job_id, 1, claim.token, Progress(percent=50, frame=100))
    stale = Report(job_id, 1, "x" * 32)
    answer = client.heartbeat("ada", Heartbeat((report, stale)))
    assert [order.order for order in answer.orders] == [Order.CONTINUE, Order.LOST]
    assert answer.heartbeat_seconds == 2
    assert client.job(job_id).progress == Progress(percent=50, frame=100)
    client.cancel(job_id)
    assert client.job(job_id).cancel_requested
    answer = client.heartbeat("ada", Heartbeat((report,)))
    assert [order.order for order in answer.orders] == [Order.CANCEL]
    client.finish(job_id, 1, claim.token, Outcome(State.CANCELED, Reason.CANCELED))
    assert client.job(job_id).state is State.CANCELED


def test_a_lost_lease_and_the_late_result(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    job_id = client.submit(JOB).id
    first = client.claim("ada", 0)
    assert first is not None
    client.register("bob", MACHINE)
    silent, nothing = in_thread(lambda: inside.client().claim("ada", 50))
    held(inside, 1)
    thread, found = in_thread(lambda: inside.client().claim("bob", 50))
    held(inside, 2)
    for _ in range(14):  # the worker falls silent; the master does not
        inside.clock.forward(5)
        inside.housekeeping.round()
    silent.join(PATIENCE_SECONDS)
    assert nothing == [None]  # it would hear of nothing
    thread.join(PATIENCE_SECONDS)  # who waits is woken at once
    assert [(claim.job_id, claim.attempt) for claim in found] == [(job_id, 2)]

    before = client.job(job_id)
    with pytest.raises(StaleAttempt):
        client.finish(job_id, 1, first.token, DONE)
    with pytest.raises(StaleAttempt):
        client.put_log(job_id, 1, first.token, b"late")
    assert client.job(job_id) == before
    client.finish(job_id, 2, found[0].token, DONE)
    client.finish(job_id, 2, found[0].token, DONE)  # its answer was lost; the same again
    assert client.job(job_id).state is State.COMPLETED


def test_a_master_that_stood_still_ends_no_lease(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    job_id = client.submit(JOB).id
    assert client.claim("ada", 0) is not None
    inside.clock.forward(3600)
    inside.housekeeping.round()
    assert client.job(job_id).state is State.RUNNING


def test_the_fleet(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    job_id = client.submit(JOB).id
    client.claim("ada", 0)
    (ada,) = client.workers()
    assert (ada.name, ada.online, ada.machine, ada.running) == ("ada", True, MACHINE, (job_id,))
    inside.clock.forward(61)
    assert [worker.online for worker in client.workers()] == [False]
    with pytest.raises(NotFound, match="PUT /workers/eve"):
        client.heartbeat("eve", Heartbeat())


def test_health_and_metrics(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    for _ in range(3):
        client.submit(JOB | {"scenario": "720p-h264"})
    first, second = client.claim("ada", 0), client.claim("ada", 0)
    assert first is not None
    assert second is not None
    inside.clock.forward(20)
    client.finish(first.job_id, 1, first.token, DONE)
    failed = Outcome(State.FAILED, Reason.TIMEOUT)
    client.finish(second.job_id, 1, second.token, failed)
    client.finish(second.job_id, 1, second.token, failed)  # counted once
    health = inside.call("GET", "/health", Role.MONITOR).json()
    assert {
        "status": "ok",
        "queued": 1,
        "running": 0,
        "workers_online": 1,
    }.items() <= health.items()
    lines = inside.call("GET", "/metrics").text.splitlines()
    heard = workers.heartbeats(inside.master.store)["ada"]
    for line in (
        "jobs_queued_total 1.0",
        "jobs_running 0.0",
        "jobs_total 2.0",
        "jobs_failed_total 1.0",
        'jobs_failures_by_reason_total{reason="timeout"} 1.0',
        'jobs_failures_by_reason_total{reason="worker_lost"} 0.0',
        'jobs_duration_seconds_count{scenario="720p-h264"} 2.0',
        'jobs_duration_seconds_bucket{le="15.0",scenario="720p-h264"} 0.0',
        'jobs_duration_seconds_bucket{le="30.0",scenario="720p-h264"} 2.0',
    ):
        assert line in lines
    stamps = [line for line in lines if line.startswith("worker_last_heartbeat_timestamp{")]
    assert [float(line.split()[-1]) for line in stamps] == [heard]


def test_health_reads_no_machine(inside: Inside) -> None:
    """Whoever asks needs no key, and may ask often."""
    statements: list[str] = []
    for name in ("ada", "bob", "eve"):
        inside.client().register(name, MACHINE)
    inside.clock.forward(61)
    inside.client().heartbeat("eve", Heartbeat())

    def note(*asked: object) -> None:
        statements.append(str(asked[2]))

    event.listen(inside.master.store._engine, "before_cursor_execute", note)
    assert inside.call("GET", "/health", None).json()["workers_online"] == 1
    assert statements
    assert not [statement for statement in statements if "machine" in statement]


def test_what_is_given_back_is_taken_by_who_waits(inside: Inside) -> None:
    client = inside.client(Role.WORKER)
    for name in ("ada", "bob"):
        client.register(name, MACHINE)
    job_id = inside.client().submit(JOB).id
    first = client.claim("ada", 0)
    assert first is not None
    thread, found = in_thread(lambda: inside.client(Role.WORKER).claim("bob", PATIENCE_SECONDS))
    held(inside, 1)
    client.release(job_id, first.attempt, first.token, "the worker drains")
    thread.join(PATIENCE_SECONDS)
    assert [(claim.job_id, claim.attempt) for claim in found] == [(job_id, 2)]
    assert inside.client().job(job_id).given_back == 1
    with pytest.raises(StaleAttempt):
        client.release(job_id, first.attempt, first.token, "the worker drains")


def test_who_did_not_hear_that_its_job_went_back_asks_again(inside: Inside) -> None:
    client = inside.client(Role.WORKER)
    client.register("ada", MACHINE)
    job_id = inside.client().submit(JOB).id
    first = client.claim("ada", 0)
    assert first is not None
    for _ in range(2):
        client.release(job_id, first.attempt, first.token, "the worker drains")
    status = inside.client().job(job_id)
    assert (status.state, status.given_back) == (State.QUEUED, 1)


def test_a_worker_that_drains_waits_no_longer(inside: Inside) -> None:
    client = inside.client(Role.WORKER)
    client.register("ada", MACHINE)
    thread, found = in_thread(lambda: inside.client().claim("ada", 50))
    held(inside, 1)
    client.heartbeat("ada", Heartbeat(draining=True))
    thread.join(PATIENCE_SECONDS)
    assert found == [None]


def test_a_claim_that_was_never_heard_of_is_given_out_again(inside: Inside) -> None:
    client = inside.client(Role.WORKER)
    client.register("ada", MACHINE)
    job_id = inside.client().submit(JOB).id
    assert client.claim("ada", 0, serial=1) is not None
    client.heartbeat("ada", Heartbeat(claim_serial=1))  # the claim may still be open
    assert inside.client().job(job_id).state is State.RUNNING
    client.heartbeat("ada", Heartbeat(claim_serial=2))
    found = client.claim("ada", 0, serial=2)
    assert found is not None
    assert (found.job_id, found.attempt) == (job_id, 2)


def test_a_full_worker_that_preempts_hears_of_live_jobs_only(inside: Inside) -> None:
    client = inside.client(Role.WORKER)
    client.register("ada", Machine(4, 8192, 10000, 1, preempts=True))
    inside.client().submit(JOB | {"queue": "batch"})
    first = client.claim("ada", 0)
    assert first is not None
    waiting = inside.client().submit(JOB).id
    thread, found = in_thread(lambda: inside.client().claim("ada", PATIENCE_SECONDS))
    held(inside, 1)
    live = inside.client().submit(JOB | {"queue": "live"}).id
    thread.join(PATIENCE_SECONDS)
    assert [claim.job_id for claim in found] == [live]
    # When it has room again, a claim that waits hears of the rest.
    thread, later = in_thread(lambda: inside.client().claim("ada", PATIENCE_SECONDS))
    held(inside, 1)
    for claim in (first, *found):
        client.finish(claim.job_id, claim.attempt, claim.token, DONE)
    thread.join(PATIENCE_SECONDS)
    assert [claim.job_id for claim in later] == [waiting]
