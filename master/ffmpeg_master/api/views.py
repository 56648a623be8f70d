"""How nouns are shown: what a URL keeps secret does not leave by a GET (pure)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from ffmpeg_jobs.model import AttemptStatus, Job, JobStatus
from ffmpeg_jobs.schema import to_json

HIDDEN: Final = "…"
#: A shorter value (``v=2``) is no secret, and would be found everywhere in a text.
_SECRET_MIN_CHARS: Final = 6


def redact(place: str | None) -> str | None:
    """A URL without its user and the values of its query: presigned ones are secrets."""
    if place is None or place.startswith("/"):
        return place
    parts = _split(place)
    if parts is None:
        return HIDDEN
    user, at, host = parts.netloc.rpartition("@")
    query = "&".join(_hide_value(part) for part in parts.query.split("&")) if parts.query else ""
    shown = parts._replace(netloc=(HIDDEN + at if user else "") + host, query=query, fragment="")
    return urlunsplit(shown)


def _split(place: str) -> SplitResult | None:
    """A URL's parts; None for one that is none, as were accepted once."""
    try:
        return urlsplit(place)
    except ValueError:
        return None


def _hide_value(part: str) -> str:
    name, equals, _ = part.partition("=")
    return f"{name}={HIDDEN}" if equals else HIDDEN


def hide(text: str, job: Job) -> str:
    """``text`` without the secrets of the job's URLs; ffmpeg's messages quote them."""
    for secret in sorted(_secrets(job), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _secrets(job: Job) -> set[str]:
    found: set[str] = set()
    for place in (job.input, job.output, job.callback_url):
        if place is None or place.startswith("/"):
            continue
        parts = _split(place)
        if parts is None:
            found.add(place)
            continue
        user = parts.netloc.rpartition("@")[0]
        found |= {user, *user.split(":"), parts.query, parts.fragment}
        found |= {part.partition("=")[2] or part for part in parts.query.split("&")}
        found |= {value for _, value in parse_qsl(parts.query)}
    return {secret for secret in found if len(secret) >= _SECRET_MIN_CHARS}


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
