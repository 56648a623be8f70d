"""How nouns are shown: what a URL keeps secret does not leave by a GET (pure)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ffmpeg_jobs import redaction
from ffmpeg_jobs.model import AttemptStatus, Job, JobStatus
from ffmpeg_jobs.redaction import redact
from ffmpeg_jobs.schema import to_json

def hide(text: str, job: Job) -> str:
    """``text`` without the secrets of the job's URLs; ffmpeg's messages quote them."""
    return redaction.hide(text, (job.input, job.output, job.callback_url))


def show_attempt(attempt: AttemptStatus, job: Job) -> dict[str, Any]:
    """An attempt at a job, likewise."""
    outcome = attempt.outcome
    if outcome is not None:
        error = None if outcome.error is None else hide(outcome.error, job)
        tail = tuple(hide(line, job) for line in outcome.log_tail)
        attempt = replace(attempt, outcome=replace(outcome, error=error, log_tail=tail))
    body: dict[str, Any] = to_json(attempt)
    return body


def show(status: JobStatus) -> dict[str, Any]:
    """A job as everybody may see it."""
    job = status.job
    shown = replace(
        status,
        job=replace(
            job,
            input=redact(job.input),
            output=redact(job.output),
            callback_url=redact(job.callback_url),
        ),
        error=None if status.error is None else hide(status.error, job),
        log_tail=tuple(hide(line, job) for line in status.log_tail),
    )
    body: dict[str, Any] = to_json(shown)
    return body
