"""What workers do with attempts: claim one, tell how it ended, send its log."""

from __future__ import annotations

import random

import structlog

from ffmpeg_jobs import contract
from ffmpeg_jobs.client import TOKEN_HEADER
from ffmpeg_jobs.model import Claim, Outcome
from ffmpeg_jobs.problems import InvalidField, StaleAttempt, Unavailable
from ffmpeg_jobs.schema import check, from_json
from ffmpeg_master import scheduling
from ffmpeg_master.api.call import Answer, Call
from ffmpeg_master.master import Master
from ffmpeg_master.model import Member
from ffmpeg_master.store import giveback, jobs, logs, queue, workers

log = structlog.get_logger()


def claim(call: Call) -> Answer:
    """POST /claims"""
    master, worker = call.master, call.body["worker"]
    if master.wakeup.closed:
        raise Unavailable("the master is about to stop; another one answers soon")
    found = master.wakeup.wait_for(
        worker,
        call.body.get("wait_seconds", 0),
        # A job claimed for a client that is gone would wait for its lease to run out.
        lambda: _try_claim(master, worker, call.body.get("serial")) if call.connected() else None,
    )
    if found is None:
        return Answer(204)
    log.info("job_claimed", job=found.job_id, attempt=found.attempt, worker=worker, by=call.by)
    return Answer(body=found)


def _try_claim(master: Master, name: str, serial: int | None) -> Claim | None:
    """The most urgent job that suits; the next one if another claim is just taking it."""
    store, lease_seconds = master.store, master.config.lease_seconds
    passed: set[str] = set()

    def others() -> list[Member]:
        fleet = workers.fleet(store, lease_seconds)
        return [member for member in fleet if member.name != name]

    while True:
        with store.read():  # one look at all that choosing needs
            worker = workers.member(store, name, lease_seconds)
            order = _order(master)
            waiting = jobs.waiting(store, scheduling.urgency(order))
            untried = (job for job in waiting if job.job_id not in passed)
            chosen = scheduling.choose(untried, worker, others, order)
        if chosen is None:
            return None
        # One more than was seen: if another claim of its own came first, there may be no room.
        most = len(worker.running) + 1
        found = queue.claim(
            store, chosen, name, most=most, lease_seconds=lease_seconds, serial=serial
        )
        if found is not None:
            return found
        passed.add(chosen)


def _order(master: Master) -> scheduling.Order:
    config = master.config
    return scheduling.Order(
        master.store.now(),
        config.aging_seconds,
        workers.held(master.store),
        dict(config.fair_share),
        random.randrange(scheduling.OLDEST_FIRST_EVERY) == 0,  # noqa: S311 - nothing is secret
    )


def finish(call: Call) -> Answer:
    """POST /jobs/{job_id}/attempts/{attempt}/result"""
    job_id, number = call.path["job_id"], call.path["attempt"]
    outcome = from_json(Outcome, call.body["outcome"])
    master = call.master
    try:
        status = queue.finish(
            master.store,
            job_id,
            number,
            token=call.body["token"],
            outcome=outcome,
            retry_seconds=master.config.retry_seconds,
        )
    except StaleAttempt:
        log.warning("result_refused", job=job_id, attempt=number, by=call.by)
        raise
    if status is not None:
        log.info("attempt_ended", job=job_id, attempt=number, by=call.by, state=status.state.value)
        master.ended(status)
        if status.worker is not None:
            # A claim of its own that waits, for live jobs only while it was full.
            master.wakeup.wake_worker(status.worker)
    return Answer(204)


def release(call: Call) -> Answer:
    """POST /jobs/{job_id}/attempts/{attempt}/release"""
    master, job_id, number = call.master, call.path["job_id"], call.path["attempt"]
    why = call.body["why"]
    status = giveback.release(
        master.store,
        job_id,
        number,
        token=call.body["token"],
        why=why,
        retry_seconds=master.config.retry_seconds,
    )
    if status is not None:
        log.info("attempt_given_back", job=job_id, attempt=number, by=call.by, why=why)
        master.given_back([status])
    return Answer(204)


def put_log(call: Call) -> Answer:
    """PUT /jobs/{job_id}/attempts/{attempt}/log"""
    token = call.header(TOKEN_HEADER)
    if token is None:
        raise InvalidField.of(TOKEN_HEADER, None, "the token that came with the claim")
    check(contract.RESULT["properties"]["token"], token, TOKEN_HEADER)
    store, path = call.master.store, call.path
    logs.put(store, path["job_id"], path["attempt"], token, call.body)
    return Answer(204)
