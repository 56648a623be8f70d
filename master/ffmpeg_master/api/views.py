"""How nouns are shown: what a URL keeps secret does not leave by a GET (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import reduce
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from ffmpeg_jobs.model import AttemptStatus, Job, JobStatus
from ffmpeg_jobs.schema import to_json

HIDDEN: Final = "…"
#: A shorter value (``v=2``) is no secret, and would be found everywhere in a text.
_SECRET_MIN_CHARS: Final = 6
#: Each is looked for on its own, in about 0.6 ms per MiB. A presigned URL has some ten.
_SECRETS_MOST: Final = 64


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
    return _hider(job)(text)


def _hide_all(texts: Iterable[str], job: Job) -> tuple[str, ...]:
    return tuple(map(_hider(job), texts)) if texts else ()


def _hider(job: Job) -> Callable[[str], str]:
    """What hides them, in a time that the text's length bounds, however many there are."""
    secrets = sorted(_secrets(job), key=len, reverse=True)
    if len(secrets) <= _SECRETS_MOST:
        return lambda text: reduce(_without, secrets, text)
    # So many are no presigned URL's. Whatever could be one of them goes, in one pass.
    words = "".join(map(re.escape, sorted(set().union(*secrets))))
    could_be = re.compile(f"[{words}]{{{_SECRET_MIN_CHARS},}}")
    return lambda text: could_be.sub(HIDDEN, text)


def _without(text: str, secret: str) -> str:
    return text.replace(secret, HIDDEN)


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
