"""What ffmpeg says of itself: the blocks of ``-progress``, and a line of its log. Pure.

A job may write anything there: each figure is one that a message to the master may hold.
"""

from __future__ import annotations

import math
import re
from typing import Final

from ffmpeg_jobs.model import Progress

#: ffmpeg's log names an input's length so: ``[info]   Duration: 00:00:05.31, start: ...``.
_DURATION: Final = re.compile(
    r"^\[info\] +Duration: ([0-9]{1,7}):([0-9]{2}):([0-9]{2}(?:\.[0-9]{1,9})?)", re.MULTILINE
)
#: ... and its streams: ``[info]   Stream #0:0[0x1](und): Video: h264 (High), yuv420p, ...``.
_STREAM: Final = re.compile(r"^\[info\] +Stream #\S+ (Video|Audio): (.*)$", re.MULTILINE)
_COVER: Final = "(attached pic)"
#: What ffmpeg says next after all of its inputs.
MAPPING: Final = "\n[info] Stream mapping:"
#: ffmpeg's warning that the length that follows is a guess.
_GUESSED: Final = "Estimating duration from bitrate"
#: More than any figure of a real job, and still a whole number in every language's JSON.
_MOST: Final = float((1 << 53) - 1)


def parse_progress(text: str, expected_seconds: float | None) -> Progress | None:
    """The last complete block in the end of a -progress file; None before the first.

    ``expected_seconds`` is the output's length, where it is known: percent and ETA need it.
    """
    block = _last_block(text)
    if block is None:
        return None
    out_seconds = (_number(block.get("out_time_us")) or 0.0) / 1e6
    speed = _number(block.get("speed", "").rstrip("x"))
    percent = eta = None
    if expected_seconds:
        percent = min(100.0, round(100 * out_seconds / expected_seconds, 2))
        if speed:
            eta = round(min(_MOST, max(0.0, expected_seconds - out_seconds) / speed), 1)
    return Progress(
        percent=percent,
        frame=int(_number(block.get("frame")) or 0),
        fps=_number(block.get("fps")) or 0.0,
        speed=speed,
        out_time_seconds=round(out_seconds, 3),
        size_bytes=int(_number(block.get("total_size")) or 0),
        eta_seconds=eta,
    )


def input_seconds(log: str) -> float | None:
    """The input's length, as the beginning of ffmpeg's log tells it.

    None where it is not known (a stream) or only guessed from the bitrate.
    """
    found = _DURATION.search(log)
    if found is None or _GUESSED in log[: found.start()]:
        return None
    hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds) or None


def input_kinds(log: str) -> frozenset[str]:
    """What the input has of video and audio, as the beginning of ffmpeg's log tells it.

    Cover art is no video: it is not mapped (command.py).
    """
    told = log.partition(MAPPING)[0].partition("\n[info] Output #0")[0]
    return frozenset(kind.lower() for kind, rest in _STREAM.findall(told) if _COVER not in rest)


def _last_block(text: str) -> dict[str, str] | None:
    """Each block ends with ``progress=continue`` or ``progress=end``."""
    end = text.rfind("\nprogress=")
    if end < 0:
        return None
    begin = text.rfind("\nprogress=", 0, end)
    lines = text[begin + 1 : end].splitlines()
    return {name: value.strip() for name, eq, value in (li.partition("=") for li in lines) if eq}


def _number(text: str | None) -> float | None:
    """ffmpeg writes ``N/A`` for what it does not know, and less than 0 before it began."""
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    return min(_MOST, max(0.0, number)) if number is not None and math.isfinite(number) else None
