"""How nouns are shown: what a URL keeps secret does not leave by a GET (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ffmpeg_jobs.model import AttemptStatus, Job, JobStatus
from ffmpeg_jobs.redaction import hider, redact
from ffmpeg_jobs.schema import to_json


def hide(text: str, job: Job) -> str:
    """``text`` without the secrets of the job's URLs; ffmpeg's messages quote them."""
    return _hider(job)(text)


def _hide_all(texts: Iterable[str], job: Job) -> tuple[str, ...]:
    return tuple(map(_hider(job), texts)) if texts else ()


def _hider(job: Job) -> Callable[[str], str]:
    return hider((job.input, job.output, job.callback_url))


def show_attempt(attempt: AttemptStatus, job: Job) -> dict[str, Any]:
    """An attempt at a job, likewise."""
    outcome = attempt.outcome
    if outcome is not None:
        error = None if outcome.error is None else hide(outcome.error, job)
        tail = _hide_all(outcome.log_tail, job)
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
        log_tail=_hide_all(status.log_tail, job),
    )
    body: dict[str, Any] = to_json(shown)
    return body
