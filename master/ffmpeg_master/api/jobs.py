"""Submit, list, show, cancel, and read the log of, jobs."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

import structlog

from ffmpeg_jobs.model import Job, JobStatus, State
from ffmpeg_jobs.problems import InvalidField
from ffmpeg_jobs.redaction import redact
from ffmpeg_jobs.schema import parse_batch, parse_job
from ffmpeg_master import scheduling
from ffmpeg_master.api import views
from ffmpeg_master.api.call import TEXT, Answer, Call
from ffmpeg_master.api.pages import following_page, moment
from ffmpeg_master.master import Master
from ffmpeg_master.model import DEFAULT_TENANT, Filters
from ffmpeg_master.store import (
    attempts,
    dependencies,
    intake,
    jobs,
    lists,
    logs,
    outbox,
    queue,
    tenants,
    wishes,
    workers,
)
from ffmpeg_master.store.retry import retry

log = structlog.get_logger()

LIST_DEFAULT = 100


def submit(call: Call) -> Answer:
    """POST /jobs"""
    job = parse_job(call.body)
    _check_callback(call.master, "callback_url", job)
    submission = _submission(call, job, _digest(call), None)
    status, created = intake.submit(call.master.store, submission, call.act)
    if created:
        log.info("job_submitted", job=status.id, by=call.by, queue=job.queue.value)
        call.master.wakeup.wake()
    return Answer(201, views.show(status), {"Location": f"/jobs/{status.id}"})


def submit_batch(call: Call) -> Answer:
    """POST /jobs/batch"""
    batch, digest = parse_batch(call.body), _digest(call)
    for place, job in enumerate(batch):
        _check_callback(call.master, f"jobs[{place}].callback_url", job)
    submissions = [_submission(call, job, digest, place) for place, job in enumerate(batch)]
    accepted, created = intake.submit_batch(call.master.store, submissions, call.act)
    if created:
        for status in accepted:
            log.info("job_submitted", job=status.id, by=call.by, queue=status.job.queue.value)
        call.master.wakeup.wake(len(accepted))
    return Answer(201, [views.show(status) for status in accepted])


def _check_callback(master: Master, field: str, job: Job) -> None:
    if job.callback_url is not None and master.config.secret_file is None:
        allowed = "none, because this master has no secret to sign with ([webhooks] secret_file)"
        raise InvalidField.of(field, redact(job.callback_url), allowed)


def _submission(call: Call, job: Job, digest: str, place: int | None) -> intake.Submission:
    asked, rank = scheduling.needs(job), scheduling.rank(job)
    return intake.Submission(
        job,
        asked,
        rank,
        digest,
        call.headers.get("Idempotency-Key"),
        DEFAULT_TENANT if call.key is None else call.key.grant.tenant,
        call.by,
        scheduling.line(rank, call.by, asked),
        place,
    )


def _digest(call: Call) -> str:
    return sha256(json.dumps(call.body, sort_keys=True).encode()).hexdigest()


def show_page(call: Call) -> Answer:
    """GET /jobs"""
    limit = call.query.get("limit", LIST_DEFAULT)
    found, following = lists.page(call.master.store, _filters(call), limit)
    headers = following_page("/jobs", call.query, limit, following)
    return Answer(body=[views.show(status) for status in found], headers=headers)


def count(call: Call) -> Answer:
    """GET /jobs/counts"""
    queues = lists.count(call.master.store, _filters(call))
    states = {state.value: sum(q[state.value] for q in queues.values()) for state in State}
    return Answer(body={"jobs": sum(states.values()), "states": states, "queues": queues})


def _filters(call: Call) -> Filters:
    query = call.query
    state = query.get("state", query.get("status"))
    name, _, value = query.get("label", "").partition("=")
    return Filters(
        state,
        query.get("queue"),
        query.get("worker"),
        (name, value) if name else None,
        call.sees,
        query.get("cursor"),
        query.get("group"),
        moment(query, "since"),
        moment(query, "until"),
    )


def show(call: Call) -> Answer:
    """GET /jobs/{job_id}"""
    store = call.master.store
    status = jobs.show(store, call.path["job_id"])
    if status.job.callback_url is not None:
        status = replace(status, callback=outbox.last(store, status.id))
    if status.state is State.QUEUED:
        status = replace(status, waiting_for=_waits_for(call.master, status))
    return Answer(body=views.show(status))


def _waits_for(master: Master, status: JobStatus) -> str:
    others = dependencies.waits_for(master.store, status.id) if status.job.depends_on else []
    if others:
        return f"job{'s' if len(others) > 1 else ''} {', '.join(others)}"
    due_at = jobs.due_at(master.store, status.id)
    if due_at > master.store.now():
        return f"its time, {jobs.timestamp(due_at)}"
    needs, tenant = scheduling.needs(status.job), str(status.tenant)
    held_back = tenants.holds_back(master.store, tenant, needs)
    if held_back is not None:
        return held_back
    fleet = workers.fleet(master.store, master.config.lease_seconds)
    return scheduling.waits_for(needs, [one for one in fleet if one.serves in (None, tenant)])


def cancel(call: Call) -> Answer:
    """POST /jobs/{job_id}/cancel"""
    status, ended = queue.cancel(call.master.store, call.path["job_id"], call.act)
    log.info("job_cancel_requested", job=status.id, by=call.by, state=status.state.value)
    if ended:
        call.master.ended(status)
    return Answer(body=views.show(status))


def queue_again(call: Call) -> Answer:
    """POST /jobs/{job_id}/retry"""
    status = retry(call.master.store, call.path["job_id"], call.act)
    log.info("job_retried", job=status.id, by=call.by)
    call.master.wakeup.wake()
    return Answer(body=views.show(status))


def set_limits(call: Call) -> Answer:
    """POST /jobs/{job_id}/limits"""
    limits = {name: int(value) for name, value in call.body.items()}
    store, job_id = call.master.store, call.path["job_id"]
    status, changed = wishes.set_limits(store, job_id, limits, call.act)
    if changed:
        log.info("job_limits_changed", job=status.id, by=call.by, **limits)
        call.master.wakeup.wake()  # it may fit a worker now that it did not fit
        if status.worker is not None:
            call.master.wakeup.wake_worker(status.worker)  # beside it more may fit
        call.master.tenant_room.left(status)
    return Answer(body=views.show(status))


def pause(call: Call) -> Answer:
    """POST /jobs/{job_id}/pause"""
    return _set_paused(call, True)


def resume(call: Call) -> Answer:
    """POST /jobs/{job_id}/resume"""
    return _set_paused(call, False)


def _set_paused(call: Call, paused: bool) -> Answer:
    store, job_id = call.master.store, call.path["job_id"]
    status, changed = wishes.set_paused(store, job_id, paused, call.act)
    if changed:
        log.info("job_pause_changed", job=status.id, by=call.by, pause=paused)
    return Answer(body=views.show(status))


def show_attempts(call: Call) -> Answer:
    """GET /jobs/{job_id}/attempts"""
    job, found = attempts.of(call.master.store, call.path["job_id"])
    return Answer(body=[views.show_attempt(attempt, job) for attempt in found])


def show_log(call: Call) -> Answer:
    """GET /jobs/{job_id}/logs"""
    attempt = call.query.get("attempt")
    job, content = logs.read(call.master.store, call.path["job_id"], attempt)
    text = views.hide(content.decode("utf-8", "replace"), job)
    return Answer(body=text.encode(), media=TEXT)
