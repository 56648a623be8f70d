"""What the command lines make of real and of odd sources."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.contract import FORMATS
from ffmpeg_jobs.model import Job, Parameters, Reason, State
from ffmpeg_worker.outcome import AttemptError, conclude
from ffmpeg_worker.progress import input_kinds, input_seconds, parse_progress
from ffmpeg_worker.publish import verify
from tests.media_runs.conftest import CLIP, encode, make
from tests.rtmp import free_port, listening

BOTH = {"video", "audio"}

SOFTWARE: dict[str, tuple[str, dict[str, Any]]] = {
    "libx264": ("h264", {"preset": "ultrafast", "tune": "film", "crf": 30}),
    "libx265": ("hevc", {"preset": "ultrafast", "crf": 30}),
    "libsvtav1": ("av1", {"preset": "12", "crf": 40}),
    "libaom-av1": ("av1", {"preset": "8", "crf": 40}),
    "libvpx-vp9": ("vp9", {"preset": "8", "tune": "ssim", "crf": 40}),
    "libvpx": ("vp8", {"preset": "8", "crf": 40}),
    "mpeg4": ("mpeg4", {}),
    "prores_ks": ("prores", {}),
    "ffv1": ("ffv1", {}),
}


@pytest.mark.parametrize("encoder", SOFTWARE)
def test_each_encoder_in_software_even_with_many_threads(tmp_path: Path, encoder: str) -> None:
    codec, parameters = SOFTWARE[encoder]
    ended = encode(
        tmp_path,
        threads=200,
        encoder=encoder,
        width=320,
        duration=0.4,
        format="matroska",
        **parameters,
    )
    assert ended.status == 0, ended.log[-2000:]
    assert (ended.media().video or "").startswith(f"{codec} 320x180 25 fps")
    assert "has not been used" not in ended.log


@pytest.mark.parametrize("crf", [None, 40])
@pytest.mark.parametrize(
    "encoder", ["libx264", "libx265", "libsvtav1", "libaom-av1", "libvpx-vp9", "libvpx"]
)
def test_each_encoder_takes_a_bitrate(tmp_path: Path, encoder: str, crf: int | None) -> None:
    ended = encode(
        tmp_path,
        encoder=encoder,
        preset=SOFTWARE[encoder][1]["preset"],
        bitrate="300k",
        crf=crf,
        width=160,
        duration=0.4,
        format="webm" if encoder == "libvpx" else "mp4",
        audio_encoder="none" if encoder != "libvpx" else None,
    )
    assert ended.status == 0, ended.log[-2000:]


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_has_encoders_that_fit_it(tmp_path: Path, name: str) -> None:
    only_sound = name in ("ogg", "mp3", "flac", "wav")
    ended = encode(tmp_path, duration=1.0, format=name, width=None if only_sound else 160)
    assert ended.status == 0, ended.log[-2000:]
    media = ended.media()
    job = Job(input="x", parameters=Parameters(duration=1.0, format=name))
    verify(media, job, 1.0, input_kinds(ended.log))
    assert (media.video is None) is only_sound
    assert media.audio is not None


def test_the_clip_whole_with_progress_to_its_end(tmp_path: Path) -> None:
    ended = encode(tmp_path, preset="ultrafast", width=640, height=480, audio_bitrate="96k")
    assert conclude(ended.facts()).state is State.COMPLETED
    media = ended.media()
    assert media.video == "h264 640x360 25 fps"
    seconds = input_seconds(ended.log)
    assert seconds == 5.31
    assert input_kinds(ended.log) == BOTH
    verify(media, Job(input="x"), seconds, BOTH)
    progress = parse_progress(ended.progress, seconds)
    assert progress is not None
    assert progress.frame == 132
    assert (progress.percent or 0) > 95
    # The index stands in front, so that playing can begin before the file is there.
    head = ended.output.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")


def test_a_synthetic_source(tmp_path: Path) -> None:
    ended = encode(tmp_path, None, duration=1.5, width=320, height=240, framerate=10)
    media = ended.media()
    assert media.video == "h264 320x240 10 fps"
    assert media.audio == "aac 48000 Hz mono"
    verify(media, Job(parameters=Parameters(duration=1.5)), 1.5, BOTH)


def test_a_copy_encodes_nothing(tmp_path: Path) -> None:
    ended = encode(tmp_path, format="matroska", encoder="copy", audio_encoder="copy")
    assert ended.media().video == "h264 1280x720 25 fps"
    assert "(copy)" in ended.log


@pytest.mark.parametrize(
    ("words", "video", "audio"),
    [
        (["-an", "-c:v", "copy"], True, False),
        (["-vn", "-c:a", "copy"], False, True),
    ],
)
def test_a_source_without_sound_or_picture(
    tmp_path: Path, words: list[str], video: bool, audio: bool
) -> None:
    source = make(tmp_path / "source.mp4", "-i", str(CLIP), *words)
    ended = encode(
        tmp_path, source, encoder="libx264", preset="ultrafast", crf=30, width=320, duration=1
    )
    assert ended.status == 0, ended.log[-2000:]
    media = ended.media()
    assert (media.video is not None, media.audio is not None) == (video, audio)


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    cover = make(tmp_path / "cover.png", "-i", str(CLIP), "-frames:v", "1", "-s", "64x64")
    source = make(
        tmp_path / "source.mp3",
        *("-t", "1", "-i", str(CLIP), "-i", str(cover)),
        *("-map", "0:a", "-map", "1:v", "-c:v", "copy", "-ac", "2"),
    )
    ended = encode(tmp_path, source, preset="ultrafast")
    assert ended.status == 0, ended.log[-2000:]
    assert ended.media().video is None


def test_odd_sizes_and_deep_colour_become_what_players_show(tmp_path: Path) -> None:
    source = make(
        tmp_path / "source.mkv",
        *("-f", "lavfi", "-t", "0.4", "-i", "testsrc2=size=321x241"),
        *("-c:v", "ffv1", "-pix_fmt", "yuv444p10le"),
    )
    ended = encode(tmp_path, source, preset="ultrafast")
    assert (ended.media().video or "").startswith("h264 320x240")
    assert "yuv420p(" in ended.log.partition("Output #0")[2]


@pytest.mark.parametrize("name", ["-i.mp4", "%03d:a=b'[x],;.mp4", "pipe:0", "concat:a|b.mp4"])
def test_a_file_s_name_means_nothing(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    shutil.copy(CLIP, source)
    assert encode(tmp_path, source, encoder="copy", audio_encoder="copy").status == 0


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1/a.ts\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile /etc/hostname\n",
        "ffconcat version 1.0\nfile http://127.0.0.1/a.ts\n",
        "ffconcat version 1.0\nfile /proc/self/environ\n",
    ],
)
def test_a_playlist_leads_nowhere(tmp_path: Path, text: str) -> None:
    source = tmp_path / "list"
    source.write_text(text)
    outcome = conclude(encode(tmp_path, source).facts())
    assert outcome.reason is Reason.INPUT_ERROR, outcome.error


def test_a_source_that_is_cut_short_is_noticed(tmp_path: Path) -> None:
    source = make(tmp_path / "source.mp4", "-i", str(CLIP), "-c", "copy", "-movflags", "+faststart")
    content = source.read_bytes()
    source.write_bytes(content[: len(content) // 2])
    ended = encode(tmp_path, source, preset="ultrafast", width=320)
    assert conclude(ended.facts()).state is State.COMPLETED
    with pytest.raises(AttemptError, match="the input is cut short or damaged"):
        verify(ended.media(), Job(input="x"), input_seconds(ended.log), BOTH)


def test_a_guessed_length_is_not_held_against_the_output(tmp_path: Path) -> None:
    # Frames of two bitrates and no header that tells their number.
    quiet = make(
        tmp_path / "quiet.mp3", "-t", "5", "-i", str(CLIP), "-b:a", "32k", "-write_xing", "0"
    )
    loud = make(
        tmp_path / "loud.mp3", "-t", "5", "-i", str(CLIP), "-b:a", "320k", "-write_xing", "0"
    )
    source = tmp_path / "source.mp3"
    source.write_bytes(quiet.read_bytes() + loud.read_bytes())
    ended = encode(tmp_path, source)
    assert "Estimating duration" in ended.log
    assert input_seconds(ended.log) is None


def test_a_stream_arrives(tmp_path: Path) -> None:
    received = tmp_path / "received.flv"
    with listening(received) as (url, server):
        ended = encode(
            tmp_path, output=url, preset="ultrafast", tune="zerolatency", bitrate="500k", width=320
        )
        assert ended.status == 0, ended.log[-2000:]
        assert server.wait(timeout=60) == 0
    media = replace(ended, output=received).media()
    assert (media.video or "").startswith("h264 320x180")
    assert (media.audio or "").startswith("aac 48000 Hz")


def test_a_stream_to_nobody(tmp_path: Path) -> None:
    ended = encode(tmp_path, output=f"rtmp://127.0.0.1:{free_port()}/live/key", preset="ultrafast")
    assert conclude(ended.facts()).reason is Reason.NETWORK_ERROR
