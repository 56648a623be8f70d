"""Parameters to ffmpeg's command line, and what cannot become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ffmpeg_jobs.contract import VIDEO_ENCODERS
from ffmpeg_jobs.model import Job, Parameters, Reason
from ffmpeg_worker.command import (
    Places,
    expected_seconds,
    ffmpeg_argv,
    gpu_devices,
    needs_network,
    sink_format,
)
from ffmpeg_worker.families import FAMILIES, family_of
from ffmpeg_worker.outcome import AttemptError

FILE = Places("/input", "/output", "mp4", "/job/progress")
STREAM = replace(FILE, sink="rtmp://live.example/", sink_format="flv", preset="/stream")


def argv(places: Places = FILE, threads: int = 2, **parameters: Any) -> tuple[str, ...]:
    return ffmpeg_argv(Job(parameters=Parameters(**parameters)), places, threads)


def follows(words: Sequence[str], *wanted: str) -> bool:
    size = len(wanted)
    return any(tuple(words[i : i + size]) == wanted for i in range(len(words)))


def test_a_file_is_all_that_ffmpeg_may_open() -> None:
    words = argv()
    assert words[0] == "ffmpeg"
    assert follows(words, "-protocol_whitelist", "file", "-i", "file:/input")
    assert words[-1] == "file:/output"
    assert follows(words, "-progress", "file:/job/progress")
    assert "-nostdin" in words


def test_a_stream_may_use_rtmp_and_is_given_up_when_its_server_is_silent() -> None:
    words = argv(replace(FILE, source="rtmps://in.example/app/KEY"))
    at = words.index("-i")
    assert words[at + 1] == "rtmps://in.example/app/KEY"
    assert follows(words[:at], "-protocol_whitelist", "rtmp,rtmps,tcp,tls")
    assert follows(words[:at], "-rw_timeout", "30000000")
    assert "-re" not in words


@pytest.mark.parametrize("source", ["/input", None])
def test_what_viewers_watch_goes_out_at_its_own_pace_with_regular_key_frames(
    source: str | None,
) -> None:
    words = argv(replace(STREAM, source=source), duration=5)
    assert "-re" in words[: words.index("-i")]
    assert follows(words, "-force_key_frames", "expr:gte(t,n_forced*2)")
    assert follows(words, "-fpre", "/stream")
    assert follows(words, "-f", "flv", "rtmp://live.example/")
    assert "-re" not in argv(replace(FILE, source=source), duration=5)


def test_the_synthetic_source_is_made_of_numbers() -> None:
    words = argv(replace(FILE, source=None), duration=2.5, width=640, height=360, framerate=30)
    assert follows(words, "-f", "lavfi", "-t", "2.500", "-i", "testsrc2=size=640x360:rate=30")
    assert follows(words, "-map", "0:V:0?", "-map", "1:a:0")


def test_a_long_duration_keeps_its_fraction() -> None:
    assert follows(argv(duration=86399.95), "-t", "86399.950")


@pytest.mark.parametrize(
    ("job", "muxer"),
    [
        (Job(output="/out/a.mkv"), "matroska"),
        (Job(output="/out/a.MP4"), "mp4"),
        (Job(output="https://bucket.example/a.webm?signature=x.mkv"), "webm"),
        (Job(output="/out/a.mkv", parameters=Parameters(format="mpegts")), "mpegts"),
        (Job(output="rtmp://live.example/app/key.mp4"), "flv"),
        (Job(output="/out/a.unknown"), "mp4"),
        (Job(), "mp4"),
    ],
)
def test_the_container(job: Job, muxer: str) -> None:
    assert sink_format(job) == muxer


@pytest.mark.parametrize(
    ("place", "network"),
    [
        ("rtmp://a/b", True),
        ("RTMPS://a/b", True),
        ("https://a/b", False),
        ("/a/rtmp://b", False),
        (None, False),
    ],
)
def test_only_streams_need_the_network(place: str | None, network: bool) -> None:
    assert needs_network(Job(input=place)) is network
    assert needs_network(Job(output=place)) is network


@pytest.mark.parametrize(
    ("asked", "there", "expected"),
    [(None, None, None), (5.0, None, 5.0), (None, 7.0, 7.0), (5.0, 7.0, 5.0), (9.0, 7.0, 7.0)],
)
def test_the_expected_length(
    asked: float | None, there: float | None, expected: float | None
) -> None:
    assert expected_seconds(Job(parameters=Parameters(duration=asked)), there) == expected


@pytest.mark.parametrize(
    ("parameters", "options"),
    [
        ({"encoder": "libx264", "crf": 23}, "-crf 23"),
        ({"encoder": "libx264", "crf": 23, "bitrate": "4M"}, "-crf 23 -maxrate 4M -bufsize 8M"),
        ({"encoder": "libx264", "bitrate": "800k"}, "-b:v 800k -maxrate 800k -bufsize 1600k"),
        ({"encoder": "libx264", "bitrate": "96000"}, "-bufsize 192000"),
        ({"encoder": "libsvtav1", "preset": "8", "crf": 30}, "-preset 8 -crf 30"),
        ({"encoder": "libsvtav1", "bitrate": "1M"}, "-b:v 1M -pix_fmt"),
        ({"encoder": "libvpx-vp9", "preset": "5", "crf": 31}, "-cpu-used 5 -crf 31 -b:v 0"),
        ({"encoder": "libvpx-vp9", "crf": 31, "bitrate": "1M"}, "-crf 31 -b:v 1M -pix_fmt"),
        ({"encoder": "libvpx", "crf": 10}, "-crf 10 -b:v 100M"),
        ({"encoder": "h264_nvenc", "preset": "p4", "crf": 23}, "-preset p4 -rc vbr -cq 23 -b:v 0"),
        ({"encoder": "h264_qsv", "crf": 23}, "-global_quality 23 -pix_fmt nv12"),
        ({"encoder": "h264_vaapi", "crf": 23}, "-rc_mode CQP -global_quality 23"),
        ({"encoder": "libx265"}, "-x265-params pools=2"),
        ({"tune": "zerolatency"}, "-tune zerolatency"),
        ({"framerate": 30}, "-r 30"),
        ({"audio_encoder": "libopus", "audio_bitrate": "96k"}, "-c:a libopus -b:a 96k"),
        ({"encoder": "copy", "audio_encoder": "copy"}, "-c:v copy -c:a copy -movflags"),
        ({"encoder": "none"}, "-vn -map 0:a:0?"),
        ({"audio_encoder": "none"}, "-map 0:V:0? -an"),
        (
            {"width": 1920, "height": 1080},
            "-vf scale=w=1920:h=1080:force_original_aspect_ratio=decrease:force_divisible_by=2",
        ),
        ({"width": 640}, "-vf scale=w=640:h=-2"),
        ({"height": 360}, "-vf scale=w=-2:h=360"),
        ({"encoder": "h264_vaapi", "height": 360}, "-vf scale=w=-2:h=360,format=nv12,hwupload"),
    ],
)
def test_options(parameters: dict[str, Any], options: str) -> None:
    assert options in " ".join(argv(**parameters))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"encoder": "mpeg4", "crf": 20}, 'parameters.crf: 20 has no effect with encoder "mpeg4"'),
        ({"encoder": "mpeg4", "preset": "fast"}, "parameters.preset: fast has no effect"),
        ({"encoder": "ffv1", "bitrate": "4M"}, "parameters.bitrate: 4M has no effect"),
        ({"encoder": "libsvtav1", "tune": "film"}, "parameters.tune: film has no effect"),
        (
            {"encoder": "h264_vaapi", "crf": 20, "bitrate": "4M"},
            'parameters.crf: 20 has no effect with encoder "h264_vaapi" and bitrate 4M',
        ),
        ({"encoder": "copy", "width": 640}, 'width: 640 has no effect with encoder "copy"'),
        ({"encoder": "none", "crf": 20}, 'crf: 20 has no effect with encoder "none"'),
        (
            {"audio_encoder": "copy", "audio_bitrate": "96k"},
            'audio_bitrate: 96k has no effect with audio_encoder "copy"',
        ),
        ({"encoder": "none", "audio_encoder": "none"}, "neither video nor audio"),
    ],
)
def test_what_would_be_ignored_is_refused(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(AttemptError, match=words) as refusal:
        argv(**parameters)
    assert refusal.value.reason is Reason.ENCODER_ERROR


def test_a_sound_format_carries_no_picture_and_so_takes_no_width() -> None:
    assert "-vn" in argv(replace(FILE, sink_format="mp3"))
    with pytest.raises(AttemptError, match='width: 640 has no effect with encoder "none"'):
        argv(replace(FILE, sink_format="mp3"), width=640)


@pytest.mark.parametrize("encoder", VIDEO_ENCODERS)
def test_every_encoder_of_the_contract_has_a_family(encoder: str) -> None:
    family = family_of(encoder)
    assert family in FAMILIES.values()
    words = argv(encoder=encoder)
    assert follows(words, "-c:v", encoder)
    assert not any("{" in word for word in words)
    in_hardware = encoder.endswith(("_nvenc", "_qsv", "_vaapi", "_amf"))
    assert bool(gpu_devices(Job(parameters=Parameters(encoder=encoder)))) is in_hardware


@pytest.mark.parametrize("encoder", [None, "copy", "none", "libx264"])
def test_software_needs_no_device(encoder: str | None) -> None:
    assert gpu_devices(Job(parameters=Parameters(encoder=encoder))) == ()


def test_threads_stay_in_what_decoders_and_encoders_take() -> None:
    words = argv(threads=200)
    at = words.index("-i")
    assert follows(words[:at], "-threads", "16")
    assert follows(words[at:], "-threads", "64")
