"""The table of routes: the application, its keys' roles and /openapi.json are made of it."""

from __future__ import annotations

from typing import Final

from ffmpeg_jobs import contract
from ffmpeg_jobs.client import TOKEN_HEADER
from ffmpeg_jobs.contract import JsonSchema
from ffmpeg_jobs.model import Role
from ffmpeg_master import metrics
from ffmpeg_master.api import attempts, health, jobs, openapi, workers
from ffmpeg_master.api.call import TEXT, Answer, Call, Route

_STATUS: Final = contract.JOB_STATUS["properties"]
_WORKER_NAME: Final = contract.WORKER_STATUS["properties"]["name"]


def _number(low: int, high: int, words: str) -> JsonSchema:
    return {"type": "integer", "minimum": low, "maximum": high, "description": words}


def _object(properties: dict[str, JsonSchema]) -> JsonSchema:
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "description": "the parameters " + ", ".join(properties),
    }


_ATTEMPT: Final = _number(1, 1000, "a whole number of attempts, 1 to 1000")

#: What stands in a path's braces.
PATH: Final = _object({"job_id": _STATUS["id"], "attempt": _ATTEMPT, "name": _WORKER_NAME})

LIST_QUERY: Final = _object(
    {
        "state": _STATUS["state"],
        "status": _STATUS["state"],
        "queue": contract.JOB["properties"]["queue"],
        "worker": _WORKER_NAME,
        "label": {
            "type": "string",
            "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}=[^\x00]{0,255}$",
            "description": "a label and its value, as NAME=VALUE",
        },
        "limit": _number(1, 1000, "a whole number of jobs, 1 to 1000"),
        "cursor": _number(0, (1 << 63) - 1, "the cursor of the Link header of the page before"),
    }
)
LOG_QUERY: Final = _object({"attempt": _ATTEMPT})
NO_QUERY: Final = _object({})

HEALTH: Final = _object(
    {
        "status": {"type": "string", "enum": ["ok", "broken"]},
        "version": {"type": "string"},
        "database": {"type": "string", "enum": ["ok", "broken"]},
        "queued": _number(0, 1 << 62, "jobs that wait"),
        "running": _number(0, 1 << 62, "jobs that workers hold"),
        "workers_online": _number(0, 1 << 62, "workers that were heard within a lease"),
    }
)
_JOBS: Final[JsonSchema] = {"type": "array", "items": contract.JOB_STATUS}
_WORKERS: Final[JsonSchema] = {"type": "array", "items": contract.WORKER_STATUS}
_ANY: Final[JsonSchema] = {"type": "object"}

_JSON: Final = "application/json"


def _describe(_call: Call) -> Answer:
    return Answer(body=openapi.document(ROUTES, PATH))


ROUTES: Final = (
    Route(
        "POST",
        "/jobs",
        jobs.submit,
        Role.SUBMIT,
        "Submit a job; a repeat with the same Idempotency-Key is the same job",
        {201: contract.JOB_STATUS},
        body=contract.JOB,
        takes=_JSON,
        headers={"Idempotency-Key": "makes a repeated submit the same job"},
        problems=(409,),
    ),
    Route(
        "POST",
        "/jobs/batch",
        jobs.submit_batch,
        Role.SUBMIT,
        f"Submit 1 to {contract.BATCH_MAX_JOBS} jobs, all or none; answers them in the same order",
        {201: _JOBS},
        body=contract.BATCH,
        takes=_JSON,
        headers={"Idempotency-Key": "makes a repeated submit the same jobs"},
        problems=(409,),
    ),
    Route(
        "GET",
        "/jobs",
        jobs.show_page,
        Role.READ,
        "List jobs, newest first; the Link header leads to the next page",
        {200: _JOBS},
        query=LIST_QUERY,
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
        "POST",
        "/jobs/{job_id}/cancel",
        jobs.cancel,
        Role.SUBMIT,
        "Ask for a job's end; a queued job ends at once",
        {200: contract.JOB_STATUS},
        problems=(404, 409),
    ),
    Route(
        "POST",
        "/jobs/{job_id}/limits",
        jobs.set_limits,
        Role.SUBMIT,
        "Change limits of a live job; a running one's worker applies them within seconds",
        {200: contract.JOB_STATUS},
        body=contract.NEW_LIMITS,
        takes=_JSON,
        problems=(404, 409),
    ),
    Route(
        "POST",
        "/jobs/{job_id}/pause",
        jobs.pause,
        Role.SUBMIT,
        "Ask that a running job stands still; it is paused once its worker says so",
        {200: contract.JOB_STATUS},
        problems=(404, 409),
    ),
    Route(
        "POST",
        "/jobs/{job_id}/resume",
        jobs.resume,
        Role.SUBMIT,
        "Ask that a paused job goes on",
        {200: contract.JOB_STATUS},
        problems=(404, 409),
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
    Route(
        "GET",
        "/workers",
        workers.show_all,
        Role.READ,
        "List the workers",
        {200: _WORKERS},
    ),
    Route(
        "PUT",
        "/workers/{name}",
        workers.register,
        Role.WORKER,
        "Register a worker, or tell what its machine has become",
        {200: contract.HEARTBEAT_ANSWER},
        body=contract.MACHINE,
        takes=_JSON,
    ),
    Route(
        "POST",
        "/workers/{name}/heartbeat",
        workers.heartbeat,
        Role.WORKER,
        "Extend the leases of what runs and hear what to do",
        {200: contract.HEARTBEAT_ANSWER},
        body=contract.HEARTBEAT,
        takes=_JSON,
        problems=(404,),
    ),
    Route(
        "POST",
        "/workers/{name}/cordon",
        workers.cordon,
        Role.ADMIN,
        "Hand out no new jobs to a worker; those that run go on",
        {204: None},
        problems=(404,),
    ),
    Route(
        "POST",
        "/workers/{name}/uncordon",
        workers.uncordon,
        Role.ADMIN,
        "Hand out jobs to a worker again",
        {204: None},
        problems=(404,),
    ),
    Route(
        "POST",
        "/claims",
        attempts.claim,
        Role.WORKER,
        "Take a job under a lease; held open until there is one, or wait_seconds are over",
        {200: contract.CLAIM, 204: None},
        body=contract.CLAIM_REQUEST,
        takes=_JSON,
        problems=(404,),
    ),
    Route(
        "POST",
        "/jobs/{job_id}/attempts/{attempt:int}/result",
        attempts.finish,
        Role.WORKER,
        "Tell how an attempt ended; a repeat changes nothing",
        {204: None},
        body=contract.RESULT,
        takes=_JSON,
        problems=(404, 409),
    ),
    Route(
        "POST",
        "/jobs/{job_id}/attempts/{attempt:int}/release",
        attempts.release,
        Role.WORKER,
        "Give an attempt back that was not made; it does not count against max_attempts",
        {204: None},
        body=contract.RELEASE,
        takes=_JSON,
        problems=(404, 409),
    ),
    Route(
        "PUT",
        "/jobs/{job_id}/attempts/{attempt:int}/log",
        attempts.put_log,
        Role.WORKER,
        "Store ffmpeg's log of an attempt",
        {204: None},
        takes="text/plain",
        headers={TOKEN_HEADER: "the token that came with the claim"},
        problems=(404, 409),
        body_max_bytes=contract.LOG_MAX_BYTES,
    ),
    Route(
        "GET",
        "/health",
        health.health,
        None,
        "Whether the master works, and what it has to do",
        {200: HEALTH, 503: HEALTH},
    ),
    Route(
        "GET",
        "/metrics",
        health.show_metrics,
        Role.READ,
        "The metrics, in Prometheus' text format",
        {200: None},
        gives=metrics.CONTENT_TYPE,
    ),
    Route(
        "GET",
        "/openapi.json",
        _describe,
        None,
        "This description",
        {200: _ANY},
    ),
)
