"""A job in full, for people (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime

from ffmpeg_jobs.cli import words
from ffmpeg_jobs.model import (
    DEFAULT_DISK_MB,
    DEFAULT_MEMORY_MB,
    DEFAULT_TIMEOUT_SECONDS,
    AttemptStatus,
    Callback,
    Job,
    JobStatus,
    Limits,
    Terms,
    Usage,
)


def lines(status: JobStatus, now: datetime) -> Iterator[str]:
    """The lines of ``ffmpeg-jobs show``; what is not known is left out."""
    yield f"{status.id} {words.state(status)}"
    for name, value in (*_asked(status.job), *_became(status, now)):
        if value:
            yield f"  {name:<11} {value}"
    if status.log_tail:
        yield "  last lines of ffmpeg:"
        yield from (f"    {line}" for line in status.log_tail)


def _asked(job: Job) -> tuple[tuple[str, str], ...]:
    asked = {name: value for name, value in asdict(job.parameters).items() if value is not None}
    return (
        ("scenario", job.scenario or ""),
        ("input", job.input or "synthetic"),
        ("output", job.output or "none: encoded, verified and discarded"),
        ("parameters", " ".join(f"{name}={value}" for name, value in asked.items())),
        ("limits", limits(job.resource_limits)),
        ("queue", f"{job.queue.value}, priority {job.priority.value}"),
        ("group", job.group or ""),
        ("depends on", " ".join(job.depends_on)),
        ("labels", " ".join(f"{name}={text}" for name, text in job.labels.items())),
    )


def limits(asked: Limits) -> str:
    """Limits, as they were asked or else as they are by default, in a line."""
    cpu = asked.max_cpu_percent
    return ", ".join(
        (
            "all cores" if cpu is None else f"CPU {cpu} %",
            f"memory {asked.max_memory_mb or DEFAULT_MEMORY_MB} MiB",
            f"disk {asked.max_disk_mb or DEFAULT_DISK_MB} MiB",
            f"timeout {asked.timeout_sec or DEFAULT_TIMEOUT_SECONDS} s",
        )
    )


def _terms(terms: Terms) -> str:
    cpu, memory = terms.max_cpu_percent, terms.max_memory_mb
    return ", ".join(
        (
            "no limit on CPU" if cpu is None else f"CPU {cpu} %",
            "no limit on memory" if memory is None else f"memory {memory} MiB",
        )
    )


def _became(status: JobStatus, now: datetime) -> tuple[tuple[str, str], ...]:
    progress, usage, media = status.progress, status.usage, status.media
    enforced = {None: "", True: "yes", False: "no: the worker could not hold it to its limits"}
    exit_status = "" if status.exit_status is None else str(status.exit_status)
    tried = status.attempt - status.given_back
    tries = f"{tried} of {status.max_attempts or status.job.max_attempts}" if status.attempt else ""
    if status.given_back:
        tries += f", and {status.given_back} given back"
    far = [words.percent(status), words.pace(progress) if progress else ""]
    return (
        ("attempt", tries),
        ("worker", status.worker or ""),
        ("created", _when(status.created_at, now)),
        ("started", _when(status.started_at, now)),
        ("finished", _when(status.finished_at, now)),
        ("in force", _terms(status.in_force) if status.in_force else ""),
        ("waits for", status.waiting_for or ""),
        ("awaited", "yes: other jobs start when it has completed" if status.awaited else ""),
        ("unmet", status.unmet or ""),
        ("progress", ", ".join(part for part in far if part)),
        ("usage", words.used(usage) if usage else ""),
        ("enforced", enforced[status.enforced]),
        ("media", words.made(media) if media else ""),
        ("error", status.error or ""),
        ("exit status", exit_status),
        ("callback", _callback(status.callback) if status.callback else ""),
    )


def attempt_row(attempt: AttemptStatus) -> tuple[str, ...]:
    """The cells of ``ffmpeg-jobs attempts``."""
    outcome = attempt.outcome
    usage = outcome.usage if outcome else Usage()
    state = "given back" if attempt.given_back else "running"
    if outcome is not None:
        state = outcome.state.value + (f" ({outcome.reason.value})" if outcome.reason else "")
    took, cpu, peak = usage.wall_seconds, usage.cpu_seconds, usage.memory_peak_bytes
    return (
        str(attempt.attempt),
        state,
        attempt.worker,
        attempt.started_at,
        "" if took is None else f"{took:.1f} s",
        "" if cpu is None else f"{cpu:.1f} s",
        "" if peak is None else words.size(peak),
        (outcome.error if outcome else None) or "",
    )


def _callback(callback: Callback) -> str:
    tries = f", {callback.tries} tries" if callback.tries > 1 else ""
    error = f": {callback.last_error}" if callback.last_error else ""
    return f"{callback.type} {callback.state.value.replace('_', ' ')}{tries}{error}"


def _when(time: str | None, now: datetime) -> str:
    return f"{time} ({words.age(time, now)} ago)" if time else ""
