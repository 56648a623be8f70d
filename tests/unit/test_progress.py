"""ffmpeg's -progress file and the beginning of its log."""

from __future__ import annotations

import pytest

from ffmpeg_jobs.model import Progress
from ffmpeg_worker.progress import input_kinds, input_seconds, parse_progress

#: As ffmpeg 5.1 writes it; 7.1 differs in nothing that is read here.
BLOCK = """\
frame=53
fps=26.43
stream_0_0_q=24.0
bitrate= 912.3kbits/s
total_size=262192
out_time_us=2300000
out_time_ms=2300000
out_time=00:00:02.300000
dup_frames=0
drop_frames=0
speed=1.15x
progress=continue
"""
FIRST = """\
frame=0
fps=0.00
total_size=N/A
out_time_us=N/A
out_time=N/A
speed=N/A
progress=continue
"""


def test_the_last_whole_block_counts() -> None:
    text = FIRST + BLOCK + BLOCK.replace("frame=53", "frame=99").partition("progress=")[0]
    assert parse_progress(text, 4.6) == Progress(
        percent=50.0,
        frame=53,
        fps=26.43,
        speed=1.15,
        out_time_seconds=2.3,
        size_bytes=262192,
        eta_seconds=2.0,
    )


def test_a_tail_may_begin_in_the_middle_of_a_line() -> None:
    found = parse_progress(("x" * 5 + FIRST + BLOCK)[3:], None)
    assert found is not None
    assert (found.frame, found.percent, found.eta_seconds) == (53, None, None)


@pytest.mark.parametrize("text", ["", "frame=1\nfps=2", "frame=1\nprogr"])
def test_nothing_before_the_first_block_is_whole(text: str) -> None:
    assert parse_progress(text, 10.0) is None


def test_what_ffmpeg_does_not_know_yet() -> None:
    assert parse_progress(FIRST, 10.0) == Progress(percent=0.0)


def test_more_than_expected_is_still_a_hundred_percent() -> None:
    found = parse_progress(BLOCK, 1.0)
    assert found is not None
    assert (found.percent, found.eta_seconds) == (100.0, 0.0)


@pytest.mark.parametrize("word", ["-9223372036854775807", "nan", "inf"])
def test_odd_numbers_do_no_harm(word: str) -> None:
    found = parse_progress(BLOCK.replace("out_time_us=2300000", f"out_time_us={word}"), 4.6)
    assert found is not None
    assert found.out_time_seconds == 0.0


LOG = """\
[info] ffmpeg stats and -progress period set to 1.
[info] Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'file:/input':
[info]   Metadata:
[info]     encoder         : Lavf53.24.2
[info]   Duration: 01:02:05.31, start: 0.000000, bitrate: 1589 kb/s
"""


def test_the_input_s_length() -> None:
    assert input_seconds(LOG) == 3725.31


@pytest.mark.parametrize(
    "log",
    [
        "",
        LOG.replace("01:02:05.31", "N/A"),
        LOG.replace("01:02:05.31", "00:00:00.00"),
        "[mp3 @ 0x55] [warning] Estimating duration from bitrate, this may be inaccurate\n" + LOG,
    ],
)
def test_a_length_that_is_not_known_for_sure_is_none(log: str) -> None:
    assert input_seconds(log) is None


@pytest.mark.parametrize(
    ("rows", "kinds"),
    [
        (("Video: h264 (High), yuv420p", "Audio: aac (LC), 48000 Hz"), {"video", "audio"}),
        (("Audio: mp3, 44100 Hz", "Video: mjpeg, 300x300 (attached pic)"), {"audio"}),
        (("Subtitle: mov_text",), set()),
    ],
)
def test_what_an_input_has(rows: tuple[str, ...], kinds: set[str]) -> None:
    streams = "".join(f"[info]   Stream #0:{n}[0x{n}](und): {row}\n" for n, row in enumerate(rows))
    output = "[info] Output #0, mp4\n[info]   Stream #0:0: Video: h264\n"
    for head in ("[info] Stream mapping:\n", ""):
        assert input_kinds(f"[info] Input #0\n{streams}{head}{output}") == kinds
