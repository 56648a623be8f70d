"""A finished encode: verified, then put into its place, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from ffmpeg_jobs.model import Job, Media, Reason
from ffmpeg_worker import jobdir
from ffmpeg_worker.command import expected_seconds
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.progress import input_seconds, parse_progress
from ffmpeg_worker.transfer import upload

#: An output may differ from its expected length by this much: a last GOP or audio frame, and
#: the rounding of containers, on long media a small part of it.
TOLERANCE_SECONDS: Final = 1.0
TOLERANCE_PERCENT: Final = 2.0


def publish(plan: Plan, stop: threading.Event) -> Media | None:
    """Verify the staged output and put it in its place; None for a stream, which has none.

    A repeat finds it already there and does nothing; ``stop`` breaks an upload off. Raises
    AttemptError.
    """
    if plan.staged is None:
        return None
    staged = Path(plan.staged)
    job = plan.claim.job
    media = parse_probe(jobdir.probed(plan))
    seconds = input_seconds(jobdir.head(plan, "log")) if job.input else None
    # Where the input's length is not known, it may be shorter than what was asked of it.
    known = job.input is None or seconds is not None
    verify(media, job, expected_seconds(job, seconds) if known else None)
    if plan.publish_to:
        publish_file(staged, Path(plan.publish_to))
    elif plan.upload_to:
        upload(staged, plan.upload_to, stop)
    return _with_sources(media, plan, seconds)


def parse_probe(text: str) -> Media:
    """ffprobe's JSON as Media. Raises AttemptError where there is nothing to read."""
    try:
        found: dict[str, Any] = json.loads(text)
        container, streams = found["format"], found["streams"]
    except (ValueError, KeyError):
        raise AttemptError(
            Reason.ENCODER_ERROR, "ffmpeg ended well, but its output cannot be read as media"
        ) from None
    video = next((row for row in streams if row.get("codec_type") == "video"), None)
    audio = next((row for row in streams if row.get("codec_type") == "audio"), None)
    return Media(
        size_bytes=int(container.get("size", 0)),
        duration_seconds=_seconds(container.get("duration")),
        format=container.get("format_name"),
        video=None if video is None else _video_words(video),
        audio=None if audio is None else _audio_words(audio),
    )


def verify(media: Media, job: Job, expected: float | None) -> None:
    """The streams that were asked for are there and the length fits. Raises AttemptError.

    ``expected``: in seconds; None where it is not known.
    """
    if media.video is None and media.audio is None:
        raise AttemptError(Reason.ENCODER_ERROR, "the output has neither video nor audio")
    wanted = {"video": job.parameters.encoder, "audio": job.parameters.audio_encoder}
    for kind, encoder in wanted.items():
        # An input may be without one of them; the synthetic source has both.
        if getattr(media, kind) is None and job.input is None and encoder not in (None, "none"):
            raise AttemptError(
                Reason.ENCODER_ERROR, f"the output has no {kind} stream, and one was asked for"
            )
    if expected is None or media.duration_seconds is None:
        return
    allowed = max(TOLERANCE_SECONDS, expected * TOLERANCE_PERCENT / 100)
    short = expected - media.duration_seconds
    # Of an input whose video and sound differ in length, what is kept may be the shorter.
    may_be_short = job.input is not None and "none" in wanted.values()
    if short < -allowed or (short > allowed and not may_be_short):
        raise AttemptError(
            Reason.INPUT_ERROR,
            f"the output is {media.duration_seconds:.2f} s long and should be {expected:.2f} s "
            f"(within {allowed:.2f} s): the input is cut short or damaged",
        )


def publish_file(staged: Path, final: Path) -> None:
    """Make the staged file the final one: on disk first, then under its name, then the name on
    disk. Raises AttemptError (disk_full, else internal_error)."""
    try:
        if not staged.exists() and final.exists():
            return  # an earlier worker came this far
        with staged.open("rb") as file:
            os.fsync(file.fileno())
        staged.replace(final)
        folder = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise AttemptError(
            Reason.DISK_FULL if full else Reason.INTERNAL_ERROR,
            f"the output could not be put at {final}: {error.strerror}",
        ) from None


def _with_sources(media: Media, plan: Plan, seconds: float | None) -> Media:
    """The media with what is known of its input and of the encoding."""
    progress = parse_progress(jobdir.tail(plan, "work/progress"), None)
    source = Path(plan.source) if plan.source else None
    size_bytes = source.stat().st_size if source and source.exists() else None
    return replace(
        media,
        input_duration_seconds=seconds,
        input_size_bytes=size_bytes,
        compression_ratio=compression_ratio(media, size_bytes, seconds),
        frames=progress.frame if progress and media.video else None,
        average_speed=progress.speed if progress else None,
    )


def compression_ratio(
    media: Media, input_size_bytes: int | None, input_seconds: float | None
) -> float | None:
    """The output's bytes per second over the input's; None where one of them is not known.

    Per second, because an output may be a part of its input.
    """
    if not (input_size_bytes and input_seconds and media.duration_seconds):
        return None
    rate = media.size_bytes / media.duration_seconds
    return round(rate * input_seconds / input_size_bytes, 4)


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _video_words(row: dict[str, Any]) -> str:
    words = f"{row.get('codec_name')} {row.get('width')}x{row.get('height')}"
    try:
        rate = Fraction(row.get("avg_frame_rate", "0/0"))
    except (ValueError, ZeroDivisionError):
        return words
    return f"{words} {float(rate):g} fps" if rate else words


def _audio_words(row: dict[str, Any]) -> str:
    layout = row.get("channel_layout") or f"{row.get('channels')} channels"
    return f"{row.get('codec_name')} {row.get('sample_rate')} Hz {layout}"
