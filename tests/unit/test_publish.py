"""What makes an output good enough to be published."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ffmpeg_jobs.model import Job, Media, Parameters, Reason
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.publish import parse_probe, verify

#: As ffprobe 5.1 writes it with probe_argv; 7.1 adds empty "programs" and "stream_groups".
PROBED: dict[str, Any] = {
    "programs": [],
    "streams": [
        {
            "codec_name": "h264",
            "codec_type": "video",
            "width": 1280,
            "height": 720,
            "avg_frame_rate": "24000/1001",
            "duration": "5.280000",
            "nb_frames": "132",
        },
        {
            "codec_name": "aac",
            "codec_type": "audio",
            "sample_rate": "48000",
            "channels": 6,
            "channel_layout": "5.1",
            "avg_frame_rate": "0/0",
        },
    ],
    "format": {"format_name": "mov,mp4", "duration": "5.312000", "size": "1055736"},
}
BOTH = {"video", "audio"}
MEDIA = Media(10, 60.0, "mov,mp4", video="h264 1280x720", audio="aac 48000 Hz stereo")


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-3", "1e400", "9" * 5000, "²", "٣"], ids=lambda text: ascii(text[:9])
)
def test_figures_that_are_none(value: str) -> None:
    container = PROBED["format"] | {"duration": value, "size": value}
    picture = PROBED["streams"][0] | {"avg_frame_rate": f"{value}/1"}
    media = parse_probe(json.dumps({"format": container, "streams": [picture]}))
    assert media == Media(0, None, "mov,mp4", video="h264 1280x720")


def job(source: str | None = "/in.mp4", **parameters: Any) -> Job:
    return Job(input=source, parameters=Parameters(**parameters))


def test_ffprobe_s_answer_in_words() -> None:
    assert parse_probe(json.dumps(PROBED)) == Media(
        size_bytes=1055736,
        duration_seconds=5.312,
        format="mov,mp4",
        video="h264 1280x720 23.976 fps",
        audio="aac 48000 Hz 5.1",
    )


def test_streams_may_be_missing_or_say_little() -> None:
    sound = PROBED["streams"][1] | {"channel_layout": None, "channels": 3}
    found = parse_probe(json.dumps(PROBED | {"streams": [sound]}))
    assert (found.video, found.audio) == (None, "aac 48000 Hz 3 channels")
    picture = PROBED["streams"][0] | {"avg_frame_rate": "0/0"}
    found = parse_probe(json.dumps(PROBED | {"streams": [picture]}))
    assert (found.video, found.audio) == ("h264 1280x720", None)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{\n\n}\n", '{"streams": [', '{"streams": []}'),
        pytest.param("[" * 100_000, id="deep"),
        *("[]", '{"streams": 3, "format": {}}', '{"streams": [3], "format": {}}'),
    ],
)
def test_what_ffprobe_cannot_read(text: str) -> None:
    with pytest.raises(AttemptError, match="cannot be read as media") as refusal:
        parse_probe(text)
    assert refusal.value.reason is Reason.ENCODER_ERROR


@pytest.mark.parametrize(
    ("expected", "asked"),
    [
        (60.0, job()),
        (61.0, job()),
        (59.0, job()),
        (61.2, job()),  # 2 % of it are 1.224 s
        (None, job()),
        (90.0, job(audio_encoder="none")),
        (90.0, job(encoder="none")),
    ],
)
def test_a_length_that_fits(expected: float | None, asked: Job) -> None:
    verify(MEDIA, asked, expected, BOTH)


@pytest.mark.parametrize(
    ("expected", "asked"),
    [
        (61.3, job()),
        (58.7, job()),
        (120.0, job(encoder="copy")),
        (30.0, job(audio_encoder="none")),
        (90.0, job(None, encoder="libx264", audio_encoder="none")),
    ],
)
def test_a_length_that_does_not_fit(expected: float, asked: Job) -> None:
    with pytest.raises(AttemptError, match=r"60\.00 s long and should be") as refusal:
        verify(MEDIA, asked, expected, BOTH)
    assert refusal.value.reason is Reason.INPUT_ERROR


def test_nothing_in_it() -> None:
    with pytest.raises(AttemptError, match="neither video nor audio"):
        verify(Media(10, 60.0), job(), 60.0, BOTH)


def test_what_was_asked_for_and_could_be_had_is_there() -> None:
    silent = Media(10, 60.0, video="h264 1280x720")
    for source in (None, "/in.mp4"):
        with pytest.raises(AttemptError, match="no audio stream"):
            verify(silent, job(source, audio_encoder="aac"), 60.0, BOTH)
        with pytest.raises(AttemptError, match="no audio stream"):
            verify(silent, job(source), 60.0, BOTH)
        verify(silent, job(source, audio_encoder="none"), 60.0, BOTH)
    verify(silent, job(audio_encoder="aac"), 60.0, {"video"})
    sound = Media(10, 60.0, audio="mp3 48000 Hz stereo")
    verify(sound, replace(job(), output="/out.mp3"), 60.0, BOTH)  # which carries no picture
