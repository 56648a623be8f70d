"""A job's parameters as an ffmpeg command line. Pure.

Values come from validated fields only, each as one argument: no text of a user becomes an
option, a filter or a path outside of the sandbox. The input is opened with the ``file:``
protocol and nothing else, so a playlist in it cannot reach out. One secret cannot be kept off
the command line: ffmpeg takes an RTMP stream key only inside the URL, so on a machine with
other users a stream's URL can be seen in the process list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from ffmpeg_jobs.model import Job, Parameters

#: Extension of an output to ffmpeg's muxer, for all formats of the contract.
_MUXERS: Final = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".m4a": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".flv": "flv",
    ".ogg": "ogg",
    ".opus": "ogg",
    ".mp3": "mp3",
    ".flac": "flac",
    ".wav": "wav",
}
#: What a format carries by default, where the job does not say.
_VIDEO: Final = {"webm": "libvpx-vp9", "ogg": "none", "mp3": "none", "flac": "none", "wav": "none"}
_AUDIO: Final = {
    "webm": "libopus",
    "ogg": "libopus",
    "mp3": "libmp3lame",
    "flac": "flac",
    "wav": "pcm_s16le",
}
#: The synthetic source's size and rate where the job does not say.
_WIDTH, _HEIGHT, _FRAMERATE = 1280, 720, 25
_RTMP_PROTOCOLS: Final = "rtmp,rtmps,tcp,tls,tls_gnutls,crypto"
_RENDER_NODE: Final = "/dev/dri/renderD128"
_NVIDIA: Final = (
    "/dev/nvidia0",
    "/dev/nvidiactl",
    "/dev/nvidia-uvm",
    "/dev/nvidia-uvm-tools",
    "/dev/nvidia-modeset",
)


@dataclass(frozen=True)
class Places:
    """Where things are as ffmpeg sees them."""

    source: str | None  #: a path in the sandbox, or an rtmp(s) URL; None: a synthetic source
    sink: str  #: a path in the sandbox, or an rtmp(s) URL
    sink_format: str  #: ffmpeg's name of the muxer
    progress: str  #: a path in the sandbox
    vaapi_device: str | None = None


def sink_format(job: Job) -> str:
    """The muxer: as asked, else by the output's extension, else mp4; always flv over RTMP."""
    if _is_rtmp(job.output):
        return "flv"
    if job.parameters.format:
        return job.parameters.format
    path = (job.output or "").partition("?")[0]
    return _MUXERS.get(PurePosixPath(path).suffix.lower(), "mp4")


def needs_network(job: Job) -> bool:
    """Only streams do: files over HTTP are fetched and uploaded outside of the sandbox."""
    return _is_rtmp(job.input) or _is_rtmp(job.output)


def expected_seconds(job: Job, input_seconds: float | None) -> float | None:
    """The output's length: the input's, or what the job cuts of it."""
    asked = job.parameters.duration
    if input_seconds is None or asked is None:
        return asked or input_seconds
    return min(asked, input_seconds)


def gpu_devices(job: Job) -> tuple[str, ...]:
    """The device nodes that the job's encoder needs."""
    return devices_of(job.parameters.encoder or "")


def devices_of(encoder: str) -> tuple[str, ...]:
    """The device nodes that an encoder needs."""
    if encoder.endswith("_nvenc"):
        return _NVIDIA
    if encoder.endswith(("_vaapi", "_qsv", "_amf")):
        return (_RENDER_NODE,)
    return ()


def probe_argv(path: str) -> tuple[str, ...]:
    """The command that describes a media file as JSON."""
    entries = (
        "format=format_name,duration,size:"
        "stream=codec_type,codec_name,width,height,avg_frame_rate,sample_rate,channel_layout,"
        "channels,nb_frames,duration"
    )
    return (
        "ffprobe",
        *("-v", "error"),
        *("-protocol_whitelist", "file"),
        *("-of", "json"),
        *("-show_entries", entries),
        *("-i", f"file:{path}"),
    )


def ffmpeg_argv(job: Job, places: Places, threads: int) -> tuple[str, ...]:
    """The whole command. ``threads``: as many as the job has cores, so that none waits."""
    asked = job.parameters
    video = asked.encoder if asked.encoder else _VIDEO.get(places.sink_format, "libx264")
    audio = asked.audio_encoder if asked.audio_encoder else _AUDIO.get(places.sink_format, "aac")
    return (
        "ffmpeg",
        *("-nostdin", "-hide_banner", "-nostats", "-y"),
        *("-progress", f"file:{places.progress}", "-stats_period", "1"),
        *_device(video, places),
        *_source(asked, places),
        *_streams(places.source, video, audio),
        *_video(asked, video, threads),
        *_audio(asked, audio),
        *_sink(places),
    )


def _device(video: str, places: Places) -> tuple[str, ...]:
    if video.endswith("_vaapi"):
        return ("-vaapi_device", places.vaapi_device or _RENDER_NODE)
    if video.endswith("_qsv"):
        return ("-qsv_device", places.vaapi_device or _RENDER_NODE)
    return ()


def _source(asked: Parameters, places: Places) -> tuple[str, ...]:
    cut = () if asked.duration is None else ("-t", f"{asked.duration:g}")
    if places.source is None:
        size = f"{asked.width or _WIDTH}x{asked.height or _HEIGHT}"
        rate = asked.framerate or _FRAMERATE
        picture = f"testsrc2=size={size}:rate={rate}"
        return (
            *("-f", "lavfi", *cut, "-i", picture),
            *("-f", "lavfi", *cut, "-i", "sine=frequency=440:sample_rate=48000"),
        )
    if _is_rtmp(places.source):
        return ("-protocol_whitelist", _RTMP_PROTOCOLS, *cut, "-i", places.source)
    return ("-protocol_whitelist", "file", *cut, "-i", f"file:{places.source}")


def _streams(source: str | None, video: str, audio: str) -> tuple[str, ...]:
    """The first picture and the first sound, where there are any; no cover art, no data."""
    sound = "1:a:0" if source is None else "0:a:0?"
    return (
        *(("-vn",) if video == "none" else ("-map", "0:V:0?")),
        *(("-an",) if audio == "none" else ("-map", sound)),
        *("-sn", "-dn", "-map_metadata", "0", "-map_chapters", "0" if source else "-1"),
    )


def _video(asked: Parameters, encoder: str, threads: int) -> tuple[str, ...]:
    if encoder == "none":
        return ()
    if encoder == "copy":
        return ("-c:v", "copy")
    options: list[str] = ["-c:v", encoder, "-threads", str(threads)]
    if asked.preset:
        options += [_PRESET_OPTIONS.get(encoder, "-preset"), asked.preset]
    if asked.tune:
        options += ["-tune", asked.tune]
    options += _rate(asked, encoder)
    filters = _filters(asked, encoder)
    if filters:
        options += ["-vf", filters]
    if asked.framerate:
        options += ["-r", str(asked.framerate)]
    if _in_software(encoder) and encoder not in ("ffv1", "prores_ks"):
        options += ["-pix_fmt", "yuv420p"]
    return tuple(options)


#: Encoders whose speed option has another name than -preset (ffmpeg-codecs(1)).
_PRESET_OPTIONS: Final = {
    "libaom-av1": "-cpu-used",
    "libvpx": "-cpu-used",
    "libvpx-vp9": "-cpu-used",
}

#: How each family is told a constant quality (ffmpeg-codecs(1)); libvpx and aom need no bitrate
#: beside it.
_QUALITY: Final[dict[str, Callable[[int], list[str]]]] = {
    "_nvenc": lambda crf: ["-rc", "vbr", "-cq", str(crf), "-b:v", "0"],
    "_qsv": lambda crf: ["-global_quality", str(crf)],
    "_vaapi": lambda crf: ["-rc_mode", "CQP", "-qp", str(crf)],
    "_amf": lambda crf: ["-rc", "cqp", "-qp_i", str(crf), "-qp_p", str(crf)],
    "libvpx": lambda crf: ["-crf", str(crf), "-b:v", "0"],
    "libvpx-vp9": lambda crf: ["-crf", str(crf), "-b:v", "0"],
    "libaom-av1": lambda crf: ["-crf", str(crf), "-b:v", "0"],
}


def _rate(asked: Parameters, encoder: str) -> list[str]:
    """Constant quality, an average bitrate, or quality under a ceiling when both are asked."""
    options: list[str] = []
    if asked.crf is not None:
        suffix = next((s for s in _QUALITY if encoder.endswith(s)), None)
        options += _QUALITY[suffix](asked.crf) if suffix else ["-crf", str(asked.crf)]
        if asked.bitrate:
            options += ["-maxrate", asked.bitrate, "-bufsize", _twice(asked.bitrate)]
    elif asked.bitrate:
        options += ["-b:v", asked.bitrate, "-maxrate", asked.bitrate]
        options += ["-bufsize", _twice(asked.bitrate)]
    return options


def _twice(bitrate: str) -> str:
    """Two seconds of it, the customary decoder buffer."""
    digits = bitrate.rstrip("kM")
    return f"{2 * int(digits)}{bitrate[len(digits) :]}"


def _filters(asked: Parameters, encoder: str) -> str:
    """Scale into the box that was asked for, keeping the picture's shape; sizes stay even."""
    parts: list[str] = []
    if asked.width and asked.height:
        box = f"w={asked.width}:h={asked.height}"
        parts.append(f"scale={box}:force_original_aspect_ratio=decrease:force_divisible_by=2")
    elif asked.width or asked.height:
        parts.append(f"scale=w={asked.width or -2}:h={asked.height or -2}")
    if encoder.endswith("_vaapi"):
        parts += ["format=nv12", "hwupload"]
    elif _in_software(encoder) and not parts:
        # 4:2:0 needs even sizes; most sources have them, and then this changes nothing.
        parts.append("scale=w=trunc(iw/2)*2:h=trunc(ih/2)*2")
    return ",".join(parts)


def _in_software(encoder: str) -> bool:
    return not encoder.endswith(("_nvenc", "_qsv", "_vaapi", "_amf"))


def _audio(asked: Parameters, encoder: str) -> tuple[str, ...]:
    if encoder == "none":
        return ()
    rate = ("-b:a", asked.audio_bitrate) if asked.audio_bitrate and encoder != "copy" else ()
    return ("-c:a", encoder, *rate)


def _sink(places: Places) -> tuple[str, ...]:
    if _is_rtmp(places.sink):
        return ("-f", places.sink_format, places.sink)
    # The index in front, so that playing can begin while the file is still coming.
    front = ("-movflags", "+faststart") if places.sink_format in ("mp4", "mov") else ()
    return (*front, "-f", places.sink_format, f"file:{places.sink}")


def _is_rtmp(place: str | None) -> bool:
    return place is not None and place.lower().startswith(("rtmp://", "rtmps://"))
