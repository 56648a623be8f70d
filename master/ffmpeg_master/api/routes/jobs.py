"""What people ask of jobs."""

from __future__ import annotations

from typing import Final

from ffmpeg_jobs import contract
from ffmpeg_jobs.contract import JsonSchema
from ffmpeg_jobs.model import Action, Role
from ffmpeg_jobs.shapes import fields, text
from ffmpeg_master.api import events, jobs
from ffmpeg_master.api.call import EVENTS, JSON, TEXT, Route
from ffmpeg_master.api.routes.parameters import COUNT_QUERY, LIST_QUERY, LOG_QUERY, NEXT_PAGE

JOBS: Final[JsonSchema] = {"type": "array", "items": contract.JOB_STATUS}
_RESUME: Final = fields(
    {"Last-Event-ID": text(r"^[0-9]{1,12}(\.[0-9]{1,20})?$", 33, "the id of the event told last")}
)
_ONCE: Final = fields(
    {"Idempotency-Key": text("^[!-~]{1,255}$", 255, "1 to 255 printable characters, no space")}
)

ROUTES: Final = (
    Route(
        "POST",
        "/jobs",
        jobs.submit,
        Role.SUBMIT,
        "Submit a job; a repeat with the same Idempotency-Key is the same job",
        {201: contract.JOB_STATUS},
        body=contract.JOB,
        takes=JSON,
        headers=_ONCE,
        tells={"Location": "where the job is"},
        problems=(409,),
        audited=Action.JOB_SUBMITTED,
    ),
    Route(
        "POST",
        "/jobs/batch",
        jobs.submit_batch,
        Role.SUBMIT,
        f"Submit 1 to {contract.BATCH_MAX_JOBS} jobs, all or none; answers them in the same order",
        {201: JOBS},
        body=contract.BATCH,
        takes=JSON,
        headers=_ONCE,
        problems=(409,),
        audited=Action.JOB_SUBMITTED,
    ),
    Route(
        "GET",
        "/jobs",
        jobs.show_page,
        Role.READ,
        "List jobs, newest first; the Link header leads to the next page",
        {200: JOBS},
        query=LIST_QUERY,
        tells=NEXT_PAGE,
    ),
    Route(
        "GET",
        "/jobs/counts",
        jobs.count,
        Role.READ,
        "Count jobs by state and queue",
        {200: contract.COUNTS},
        query=COUNT_QUERY,
    ),
    Route(
        "GET",
        "/jobs/{job_id}",
        jobs.show,
        Role.READ,
        "Show a job",
        {200: contract.JOB_STATUS},
        problems=(404,),
    ),
    Route(
        "GET",
        "/jobs/{job_id}/attempts",
        jobs.show_attempts,
        Role.READ,
        "Show every attempt at a job: its worker, how it ended, what it used",
        {200: {"type": "array", "items": contract.ATTEMPT_STATUS}},
        problems=(404,),
    ),
    Route(
        "GET",
        "/jobs/{job_id}/events",
        events.of_job,
        Role.READ,
        "Tell how a job stands, and each change as it happens, until it ended",
        {200: None},
        gives=EVENTS,
        headers=_RESUME,
        problems=(404, 503),
    ),
    Route(
        "GET",
        "/events",
        events.of_all,
        Role.READ,
        "Tell each change of any job as it happens",
        {200: None},
        gives=EVENTS,
        headers=_RESUME,
        problems=(503,),
    ),
    Route(
        "POST",
        "/jobs/{job_id}/cancel",
        jobs.cancel,
        Role.SUBMIT,
        "Ask for a job's end; a queued job ends at once",
        {200: contract.JOB_STATUS},
        problems=(404, 409),
        audited=Action.JOB_CANCELED,
    ),
    Route(
        "POST",
        "/jobs/{job_id}/limits",
        jobs.set_limits,
        Role.SUBMIT,
        "Change limits of a live job; a running one's worker applies them within seconds",
        {200: contract.JOB_STATUS},
        body=contract.NEW_LIMITS,
        takes=JSON,
        problems=(404, 409),
        audited=Action.JOB_LIMITS_CHANGED,
    ),
    Route(
        "POST",
        "/jobs/{job_id}/pause",
        jobs.pause,
        Role.SUBMIT,
        "Ask that a running job stands still; it is paused once its worker says so",
        {200: contract.JOB_STATUS},
        problems=(404, 409),
        audited=Action.JOB_PAUSED,
    ),
    Route(
        "POST",
        "/jobs/{job_id}/resume",
        jobs.resume,
        Role.SUBMIT,
        "Ask that a paused job goes on",
        {200: contract.JOB_STATUS},
        problems=(404, 409),
        audited=Action.JOB_RESUMED,
    ),
    Route(
        "POST",
        "/jobs/{job_id}/retry",
        jobs.queue_again,
        Role.SUBMIT,
        "Queue a failed or canceled job again; its attempts go on counting up",
        {200: contract.JOB_STATUS},
        problems=(404, 409),
        audited=Action.JOB_RETRIED,
    ),
    Route(
        "GET",
        "/jobs/{job_id}/logs",
        jobs.show_log,
        Role.READ,
        "ffmpeg's log of the last attempt, or of the given one",
        {200: None},
        query=LOG_QUERY,
        gives=TEXT,
        problems=(404,),
    ),
)
