"""Bounds and names that both sides know without the schemas that are made of them (pure)."""

from __future__ import annotations

from typing import Final

#: Jobs that one claim may bring, and results that may come with it.
CLAIM_MAX_JOBS: Final = 16
#: An attempt's log, whole: the worker keeps its first 4 MiB (about 40,000 lines) and its end.
LOG_MAX_BYTES: Final = 5 << 20
#: A log of so many bytes goes with its result; with 16 results all of it fits into a body.
LOG_SHORT_BYTES: Final = 8 << 10
#: A request's body; a job is under 8 KiB, a heartbeat of 100 attempts under 64 KiB.
BODY_MAX_BYTES: Final = 1 << 20
#: How deep a body may be nested; a batch of jobs with labels is 5 deep.
NESTING_MAX: Final = 32
#: Lists and objects that a body may have: a heartbeat of 10,000 attempts has four of each.
PARTS_MAX: Final = 65_536
#: The longest a claim is held open, in seconds; proxies commonly cut at 60.
CLAIM_WAIT_MAX_SECONDS: Final = 50
#: Most jobs of one batch: what one transaction writes in a fraction of a second.
BATCH_MAX_JOBS: Final = 1000
#: Most jobs that one depends on.
DEPENDS_ON_MAX: Final = 32

# fmt: off
VIDEO_ENCODERS: Final = [
    "libx264", "libx265", "libsvtav1", "libaom-av1", "libvpx", "libvpx-vp9",
    "mpeg4", "prores_ks", "ffv1",
    "h264_nvenc", "hevc_nvenc", "av1_nvenc",
    "h264_qsv", "hevc_qsv", "av1_qsv", "vp9_qsv",
    "h264_vaapi", "hevc_vaapi", "av1_vaapi", "vp8_vaapi", "vp9_vaapi",
    "h264_amf", "hevc_amf", "av1_amf",
]
AUDIO_ENCODERS: Final = [
    "aac", "libopus", "libmp3lame", "libvorbis", "ac3", "eac3", "flac", "pcm_s16le",
]
FORMATS: Final = ["mp4", "mov", "matroska", "webm", "mpegts", "flv", "ogg", "mp3", "flac", "wav"]
TUNES: Final = [
    "film", "animation", "grain", "stillimage", "psnr", "ssim", "fastdecode", "zerolatency",
    "hq", "ll", "ull", "lossless",
    "fast_decode", "vmaf",
]
# fmt: on
