"""What workers do with attempts: claim one, tell how it ended, send its log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import count
from typing import Any, Final

import structlog

from ffmpeg_jobs.client import TOKEN_HEADER
from ffmpeg_jobs.model import Claimed, JobStatus, Outcome, Result
from ffmpeg_jobs.problems import StaleAttempt, Unavailable
from ffmpeg_jobs.schema import from_json
from ffmpeg_master import choosing
from ffmpeg_master.api.call import Answer, Call
from ffmpeg_master.master import Master
from ffmpeg_master.model import Left, Room
from ffmpeg_master.store import claims, giveback, logs, queue, waiting
from ffmpeg_master.store.claims import Asked, Given
from ffmpeg_master.wakeup import Look

#: Somebody was at the job for a transaction's time, and did not take it: nobody else is woken
#: for it. So often, and after so long, it is looked at again.
_LOOKS_MOST: Final = 50
_LOOK_SECONDS: Final = 0.02

_LOOKS: Final = {Left.NOTHING: Look.NOTHING, Left.SOME: None, Left.FOR_OTHERS: Look.AGAIN}

log = structlog.get_logger()


def claim(call: Call) -> Answer:
    """POST /claims"""
    asked = call.body
    master, worker, results = call.master, asked["worker"], asked.get("results", ())
    if master.wakeup.closed:
        raise Unavailable("the master is about to stop; another one answers soon")
    terms = Asked(
        worker,
        master.config.lease_seconds,
        master.config.retry_seconds,
        asked.get("most", 1),
        _room(asked),
        tuple(from_json(Result, result) for result in results),
        None if call.key is None else call.key.grant.serves,
    )
    # Who brings results is to know soon that they arrived.
    wait_seconds = 0 if results else asked.get("wait_seconds", 0)
    looks = count()
    given = master.wakeup.wait_for(
        worker,
        wait_seconds,
        # A job claimed for a client that is gone would wait for its lease to run out.
        lambda: _try_claim(master, terms, next(looks)) if call.connected() else None,
    )
    if given is None:
        if results:  # dismissed, or gone, before the first look
            raise Unavailable("the results were not heard; tell them again")
        return Answer(204)
    _tell(call, given)
    return Answer(body=Claimed(given.claims, given.refused))


def _room(asked: Mapping[str, Any]) -> Room:
    leaving = frozenset((one["job_id"], one["attempt"]) for one in asked.get("leaving", ()))
    return Room(asked.get("serial"), asked.get("places"), leaving)


def _try_claim(master: Master, asked: Asked, looks: int) -> Given | Look | None:
    # Thousands wait where nothing does: they ask again and again, and need no transaction. Who
    # looked before was woken because there is something now.
    if looks == 0 and not asked.results and waiting.none_for(master.store, asked.worker):
        return Look.NOTHING
    for _ in range(_LOOKS_MOST):
        choices = choosing.choices(
            master.store, master.config, asked.worker, asked.most, asked.room
        )
        given = claims.claim(master.store, asked, choices)
        if given.claims or asked.results:
            return given
        if not given.passed:
            return _LOOKS[given.left]
        time.sleep(_LOOK_SECONDS)
    return Look.AGAIN


def _tell(call: Call, given: Given) -> None:
    """Log what came of a claim, and tell those who wait for what ended."""
    for status in given.ended:  # its worker is just looking
        _ended(call, status)
    for refused in given.refused:
        log.warning("result_refused", job=refused.job_id, attempt=refused.attempt, by=call.by)
    worker = call.body["worker"]
    for found in given.claims:
        log.info("job_claimed", job=found.job_id, attempt=found.attempt, worker=worker, by=call.by)


def _ended(call: Call, status: JobStatus, worker: str | None = None) -> None:
    state = status.state.value
    log.info("attempt_ended", job=status.id, attempt=status.attempt, by=call.by, state=state)
    call.master.ended(status, worker)


def finish(call: Call) -> Answer:
    """POST /jobs/{job_id}/attempts/{attempt}/result"""
    job_id, number, master = call.path["job_id"], call.path["attempt"], call.master
    outcome = from_json(Outcome, call.body["outcome"])
    result = Result(job_id, number, call.body["token"], outcome, call.body.get("log"))
    try:
        ended = queue.finish(master.store, result, master.config.retry_seconds)
    except StaleAttempt:
        log.warning("result_refused", job=job_id, attempt=number, by=call.by)
        raise
    if ended is not None:
        _ended(call, *ended)
    return Answer(204)


def release(call: Call) -> Answer:
    """POST /jobs/{job_id}/attempts/{attempt}/release"""
    master, job_id, number = call.master, call.path["job_id"], call.path["attempt"]
    why = call.body["why"]
    given = giveback.release(
        master.store,
        job_id,
        number,
        token=call.body["token"],
        why=why,
        retry_seconds=master.config.retry_seconds,
    )
    if given is not None:
        status, worker = given
        log.info("attempt_given_back", job=job_id, attempt=number, by=call.by, why=why)
        master.given_back([status], worker)
    return Answer(204)


def put_log(call: Call) -> Answer:
    """PUT /jobs/{job_id}/attempts/{attempt}/log"""
    master, path = call.master, call.path
    lease_seconds = master.config.lease_seconds if call.query.get("publishing") else None
    said = (path["job_id"], path["attempt"], call.headers[TOKEN_HEADER])
    logs.put(master.store, *said, call.body, publishing_lease_seconds=lease_seconds)
    return Answer(204)
