"""A finished encode: verified, then put into its place, whole or not at all."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from ffmpeg_jobs.model import Job, Media, Reason
from ffmpeg_worker import jobdir
from ffmpeg_worker.command import expected_seconds
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.progress import input_seconds, parse_progress

#: An output may differ from its expected length by this much: a last GOP or audio frame, and
#: the rounding of containers, on long media a small part of it.
TOLERANCE_SECONDS: Final = 1.0
TOLERANCE_PERCENT: Final = 2.0
CONNECT_TIMEOUT_SECONDS: Final = 10.0
#: A server may be silent this long while it takes what we send.
SILENCE_SECONDS: Final = 120.0
UPLOAD_TRIES: Final = 3


def publish(plan: Plan) -> Media | None:
    """Verify the staged output and put it in its place; None for a stream, which has none.

    A repeat finds it already there and does nothing. Raises AttemptError.
    """
    if plan.staged is None:
        return None
    staged = Path(plan.staged)
    log = jobdir.head(plan, "log")
    media = parse_probe(jobdir.probed(plan))
    seconds = input_seconds(log) if plan.claim.job.input else None
    verify(media, plan.claim.job, expected_seconds(plan.claim.job, seconds))
    if plan.publish_to:
        publish_file(staged, Path(plan.publish_to))
    elif plan.upload_to:
        upload(staged, plan.upload_to)
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
    """The streams that were asked for are there and the length fits. Raises AttemptError."""
    wanted = {"video": job.parameters.encoder, "audio": job.parameters.audio_encoder}
    for kind, encoder in wanted.items():
        missing = getattr(media, kind) is None
        if missing and encoder not in (None, "none", "copy") and job.input is None:
            raise AttemptError(
                Reason.ENCODER_ERROR, f"the output has no {kind} stream, and one was asked for"
            )
    if media.video is None and media.audio is None:
        raise AttemptError(Reason.ENCODER_ERROR, "the output has neither video nor audio")
    if expected is None or media.duration_seconds is None:
        return
    allowed = max(TOLERANCE_SECONDS, expected * TOLERANCE_PERCENT / 100)
    if abs(media.duration_seconds - expected) > allowed:
        raise AttemptError(
            Reason.INPUT_ERROR,
            f"the output is {media.duration_seconds:.2f} s long and should be {expected:.2f} s "
            f"(within {allowed:.2f} s): the input is cut short or damaged",
        )


def publish_file(staged: Path, final: Path) -> None:
    """Make the staged file the final one: on disk first, then under its name, then the name on
    disk. Raises AttemptError (disk_full)."""
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
        raise AttemptError(
            Reason.DISK_FULL, f"the output could not be put at {final}: {error.strerror}"
        ) from None


def upload(staged: Path, url: str) -> None:
    """PUT the file to a (presigned) URL; what comes before the query is all that is ever shown.

    Raises AttemptError: network_error for what another try may mend, input_error for a URL
    that the server refuses.
    """
    shown = plain_url(url)
    trouble = ""
    for _ in range(UPLOAD_TRIES):
        try:
            with staged.open("rb") as file:
                answer = requests.put(
                    url,
                    data=file,
                    headers={"Content-Length": str(staged.stat().st_size)},
                    timeout=(CONNECT_TIMEOUT_SECONDS, SILENCE_SECONDS),
                    allow_redirects=False,
                )
        except requests.RequestException as error:
            trouble = type(error).__name__
            continue
        if answer.ok:
            return
        trouble = f"HTTP status {answer.status_code}"
        if answer.status_code < 500:
            raise AttemptError(Reason.INPUT_ERROR, f"{shown} refused the output: {trouble}")
    raise AttemptError(Reason.NETWORK_ERROR, f"the output could not be sent to {shown}: {trouble}")


def plain_url(url: str) -> str:
    """The URL without what may be secret: its user, its query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{parts.path}"


def _with_sources(media: Media, plan: Plan, seconds: float | None) -> Media:
    """The media with what is known of its input and of the encoding."""
    progress = parse_progress(jobdir.tail(plan, "work/progress"), None)
    source = Path(plan.source) if plan.source else None
    return Media(
        **{name: getattr(media, name) for name in _PROBED},
        input_duration_seconds=seconds,
        input_size_bytes=source.stat().st_size if source and source.exists() else None,
        frames=progress.frame if progress else None,
        average_speed=progress.speed if progress else None,
    )


_PROBED: Final = ("size_bytes", "duration_seconds", "format", "video", "audio")


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
