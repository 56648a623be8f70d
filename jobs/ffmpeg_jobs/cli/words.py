"""Numbers, times and foreign text in the words of a terminal."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import click

from ffmpeg_jobs.model import JobStatus, Media, Progress, State, Usage


def complain(sentence: str, *hints: str) -> None:
    """Say on stderr what is wrong and, where the user can act, what helps."""
    click.echo(f"ffmpeg-jobs: {printable(sentence)}", err=True)
    for hint in hints:
        click.echo(f"hint: {printable(hint)}", err=True)


def printable(text: str) -> str:
    """``text`` without control characters, which could command the terminal; lines stay."""
    lines = re.sub(r"\r\n?", "\n", text)
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "?", lines)


def clock(seconds: float) -> str:
    """Seconds as ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def span(seconds: float) -> str:
    """Seconds in their largest unit that is at least one: ``45 s``, ``3 min``, ``2 h``, ``5 d``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def age(time: str, now: datetime) -> str:
    """How long ago an RFC 3339 time was."""
    return span((now - datetime.fromisoformat(time)).total_seconds())


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(UTC)


def size(size_bytes: float) -> str:
    """Bytes in binary units: ``12.3 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def percent(job: JobStatus) -> str:
    """How far a job is: ``42 %``, or nothing where that is not known."""
    if job.state is State.COMPLETED:
        return "100 %"
    if job.progress is None or job.progress.percent is None or job.state is State.QUEUED:
        return ""
    return f"{job.progress.percent:.0f} %"


def pace(progress: Progress) -> str:
    """Frame, speed and what is left: ``frame 120, 24.0 fps, 1.5x, ETA 0:00:12``."""
    parts = [f"frame {progress.frame}", f"{progress.fps:.1f} fps"]
    if progress.speed is not None:
        parts.append(f"{progress.speed:.2f}x")
    if progress.eta_seconds is not None:
        parts.append(f"ETA {clock(progress.eta_seconds)}")
    return ", ".join(parts)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s"


def used(usage: Usage) -> str:
    """What an attempt used, as far as it was counted."""
    rows = (
        ("CPU", usage.cpu_seconds, _seconds),
        ("user", usage.cpu_user_seconds, _seconds),
        ("system", usage.cpu_system_seconds, _seconds),
        ("throttled", usage.throttled_seconds, _seconds),
        ("memory peak", usage.memory_peak_bytes, size),
        ("read", usage.read_bytes, size),
        ("written", usage.written_bytes, size),
        ("wall", usage.wall_seconds, _seconds),
    )
    return ", ".join(f"{name} {show(value)}" for name, value, show in rows if value is not None)


def made(media: Media) -> str:
    """What came out: ``h264 1280x720 24 fps, aac 48000 Hz stereo, mp4, 0:05:00, 12.3 MiB``."""
    parts = [part for part in (media.video, media.audio, media.format) if part]
    if media.duration_seconds is not None:
        parts.append(clock(media.duration_seconds))
    return ", ".join([*parts, size(media.size_bytes)])


def state(job: JobStatus) -> str:
    """The state, with the reason where there is one: ``failed (timeout)``."""
    if job.cancel_requested and job.state in (State.RUNNING, State.PAUSED):
        return f"{job.state.value} (canceling)"
    if job.state is State.RUNNING and job.pause_requested:
        return "running (pausing)"
    if job.state is State.PAUSED and not job.pause_requested:
        return "paused (resuming)"
    if job.reason is None or job.state is State.CANCELED:
        return job.state.value
    return f"{job.state.value} ({job.reason.value})"


def ending(job: JobStatus) -> str:
    """A line on how a job ended; before that: on how it stands."""
    where = f" on {job.worker}" if job.worker else ""
    parts = [
        job.error or "",
        made(job.media) if job.media else "",
        used(job.usage) if job.usage else "",
    ]
    told = "; ".join(part for part in parts if part)
    return f"{job.id} {state(job)}{where}" + (f": {told}" if told else "")
