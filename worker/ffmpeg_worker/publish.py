"""A finished encode: verified, then put into its place, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import structlog

from ffmpeg_jobs.model import Job, Media, Reason
from ffmpeg_worker import jobdir
from ffmpeg_worker.command import encoders_of, expected_seconds, sink_format
from ffmpeg_worker.holder import LOG_BYTES
from ffmpeg_worker.marks import mark, put
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.progress import input_kinds, input_seconds, parse_progress
from ffmpeg_worker.renaming import Name
from ffmpeg_worker.rights import of_file
from ffmpeg_worker.staging import outside
from ffmpeg_worker.taking import is_in_place
from ffmpeg_worker.transfer import upload
from ffmpeg_worker.trouble import output_trouble
from ffmpeg_worker.walk import Outside, by_descriptor, enter, reach

#: An output may differ from its expected length by this much: a last GOP or audio frame, and
#: the rounding of containers, on long media a small part of it.
TOLERANCE_SECONDS: Final = 1.0
TOLERANCE_PERCENT: Final = 2.0
#: Between tries to put an output in its place: an encode is worth more than two minutes.
PAUSES_SECONDS: Final = (1.0, 5.0, 15.0, 30.0, 60.0)

#: What a volume, or the server behind it, may get over in that time (errno(3)).
_PASSING: Final = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE),
    *(errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENODEV),
)

log = structlog.get_logger()


def verified(plan: Plan) -> Media | None:
    """The staged output, held against what was asked; None for a stream, which has none.

    Raises AttemptError.
    """
    if plan.staged is None:
        return None
    job, log = plan.claim.job, jobdir.preamble(plan, LOG_BYTES)
    media = parse_probe(jobdir.probed(plan))
    if plan.takes:  # it was held against what was asked before it was published
        verify(media, job, None, ())
        return _with_sources(media, plan, None)
    seconds = input_seconds(log) if job.input else None
    # Where the input's length is not known, it may be shorter than what was asked of it.
    known = job.input is None or seconds is not None
    has = input_kinds(log) if job.input else frozenset(("video", "audio"))
    verify(media, job, expected_seconds(job, seconds) if known else None, has)
    return _with_sources(media, plan, seconds)


def deliver(plan: Plan, stop: threading.Event, sure: Callable[[], bool]) -> bool:
    """Put the verified output in its place, whole or not at all; whether that was done, which it
    is only while ``sure`` says so. ``stop`` breaks an upload off.

    A repeat does nothing where it is there already. Raises AttemptError.
    """
    if plan.publish_to:
        return publish_file(plan, sure, stop)
    if plan.upload_to:
        upload(Path(str(plan.staged)), plan.upload_to, stop, policy=plan.network)
    return True


def parse_probe(text: str) -> Media:
    """ffprobe's JSON as Media. Raises AttemptError where there is nothing to read.

    The job made what ffprobe read, so that it may say anything.
    """
    try:
        return _media(json.loads(text))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise AttemptError(
            Reason.ENCODER_ERROR, "ffmpeg ended well, but its output cannot be read as media"
        ) from None


def _media(found: Any) -> Media:
    container, streams = found["format"], found["streams"]
    video = next((row for row in streams if row.get("codec_type") == "video"), None)
    audio = next((row for row in streams if row.get("codec_type") == "audio"), None)
    size = str(container.get("size", ""))
    return Media(
        size_bytes=int(size) if re.fullmatch("[0-9]{1,18}", size) else 0,
        duration_seconds=_seconds(container.get("duration")),
        format=container.get("format_name"),
        video=None if video is None else _video_words(video),
        audio=None if audio is None else _audio_words(audio),
    )


def verify(media: Media, job: Job, expected: float | None, has: Collection[str]) -> None:
    """The streams that were asked for are there and the length fits. Raises AttemptError.

    ``expected``: in seconds; None where it is not known. ``has``: the kinds of stream that the
    input has, of video and audio.
    """
    if media.video is None and media.audio is None:
        raise AttemptError(Reason.ENCODER_ERROR, "the output has neither video nor audio")
    encoders = encoders_of(job.parameters, sink_format(job))
    wanted = dict(zip(("video", "audio"), encoders, strict=True))
    for kind, encoder in wanted.items():
        if kind in has and getattr(media, kind) is None and encoder != "none":
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


def publish_file(
    plan: Plan,
    sure: Callable[[], bool],
    stop: threading.Event | None = None,
    pauses_seconds: Sequence[float] = PAUSES_SECONDS,
) -> bool:
    """Give the staged file its name, then have the name on disk; the holder brought its content
    there. Again after each pause, where that may help. False: the attempt was not ``sure`` to be
    ours any more, and it has not got it.

    Raises AttemptError: disk_full, output_error, canceled when ``stop`` is set.
    """
    stop, pauses = stop or threading.Event(), iter(pauses_seconds)
    while True:
        try:
            return _publish(plan, sure)
        except OSError as error:
            trouble = output_trouble(error, f"the output could not be put at {plan.publish_to}")
            pause = next(pauses, None) if error.errno in _PASSING else None
        if pause is None:
            raise trouble
        log.warning("not_published_yet", job=plan.claim.job_id, reason=str(trouble))
        if stop.wait(pause):
            raise AttemptError(Reason.CANCELED, "canceled before its output had its name")


def _publish(plan: Plan, sure: Callable[[], bool]) -> bool:
    """Once. Raises OSError or AttemptError."""
    opened = ExitStack()
    try:
        return _put_in_place(plan, sure, opened)
    except Outside as place:
        raise outside(plan, place) from None
    finally:
        opened.close()


def _put_in_place(plan: Plan, sure: Callable[[], bool], opened: ExitStack) -> bool:
    """As ``publish_file``, once; ``opened`` closes what is opened.

    Raises OSError, Outside or AttemptError.
    """

    def held(descriptor: int) -> int:
        opened.callback(os.close, descriptor)
        return descriptor

    part, final = Path(str(plan.staged)), Path(str(plan.publish_to))
    try:
        staged = Name(held(reach(str(part.parent), plan.output_roots)), part.name)
        file = held(os.open(staged.name, _FILE, dir_fd=staged.folder))
    except FileNotFoundError:
        if jobdir.was_delivered(plan):
            return True  # an earlier worker came this far
        raise
    if is_in_place(plan):
        return True  # an earlier attempt came this far
    place = Name(held(enter(str(final.parent), plan.output_roots, _refuse)), final.name)
    jobdir.note_delivery(plan)
    of_file(file, place.folder, plan.rights)
    mark(file, staged, plan)
    # A disk may have kept us waiting until here, or the machine was suspended.
    if not sure():
        return False
    put(staged, place, plan)
    jobdir.sync(Path(by_descriptor(place.folder)))
    return True


_FILE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def _refuse(_folder: int, _name: str, path: str) -> None:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _with_sources(media: Media, plan: Plan, seconds: float | None) -> Media:
    """The media with what is known of its input and of the encoding."""
    progress = parse_progress(jobdir.tail(plan, "work/progress"), None)
    try:
        size_bytes = Path(plan.source).stat().st_size if plan.source else None
    except OSError:  # it was taken away meanwhile
        size_bytes = None
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
    """ffprobe writes a plain decimal number, or nothing."""
    return float(text) if text and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) else None


def _video_words(row: dict[str, Any]) -> str:
    words = f"{row.get('codec_name')} {row.get('width')}x{row.get('height')}"
    rate = re.fullmatch("([1-9][0-9]{0,8})/([1-9][0-9]{0,8})", str(row.get("avg_frame_rate")))
    return words if rate is None else f"{words} {int(rate[1]) / int(rate[2]):g} fps"


def _audio_words(row: dict[str, Any]) -> str:
    layout = row.get("channel_layout") or f"{row.get('channels')} channels"
    return f"{row.get('codec_name')} {row.get('sample_rate')} Hz {layout}"
