"""How workers take jobs, and tell how they ended."""

from __future__ import annotations

from typing import Final

from ffmpeg_jobs import contract
from ffmpeg_jobs.client import TOKEN_HEADER
from ffmpeg_jobs.model import Role
from ffmpeg_jobs.shapes import fields
from ffmpeg_master.api import attempts
from ffmpeg_master.api.call import JSON, Route
from ffmpeg_master.api.routes.parameters import PUBLISHING_QUERY

ROUTES: Final = (
    Route(
        "POST",
        "/claims",
        attempts.claim,
        Role.WORKER,
        "Tell how attempts ended, and take jobs under a lease; without results, held open until "
        "there is one, or wait_seconds are over",
        {200: contract.CLAIMED, 204: None},
        body=contract.CLAIM_REQUEST,
        takes=JSON,
        problems=(404,),
        # The longest results, each of whose characters JSON may write as six bytes.
        body_max_bytes=contract.CLAIM_MAX_JOBS << 19,
    ),
    Route(
        "POST",
        "/jobs/{job_id}/attempts/{attempt:int}/result",
        attempts.finish,
        Role.WORKER,
        "Tell how an attempt ended; a repeat changes nothing",
        {204: None},
        body=contract.RESULT,
        takes=JSON,
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
        takes=JSON,
        problems=(404, 409),
    ),
    Route(
        "PUT",
        "/jobs/{job_id}/attempts/{attempt:int}/log",
        attempts.put_log,
        Role.WORKER,
        "Store ffmpeg's log of an attempt; with publishing, the attempt is about to put its output "
        "in its place, and is waited for longer",
        {204: None},
        takes="text/plain",
        query=PUBLISHING_QUERY,
        headers=fields({TOKEN_HEADER: contract.RESULT["properties"]["token"]}, needs=TOKEN_HEADER),
        problems=(404, 409),
        body_max_bytes=contract.LOG_MAX_BYTES,
    ),
)
