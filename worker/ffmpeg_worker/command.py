"""A job's parameters as an ffmpeg command line. Pure.

Values come from validated fields only, each as one argument: no text of a user becomes an
option, a filter or a path outside of the sandbox. The input is opened with the ``file:``
protocol and nothing else, so a playlist in it cannot reach out. The key of a stream that is sent
comes from a file (``stream.py``). ffmpeg takes the URL of a stream that it reads, and any user in a
URL, only from the command line, where a machine's other users can read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from ffmpeg_jobs.model import Job, Parameters, Reason
from ffmpeg_worker.families import RENDER_NODE, family_of, settings
from ffmpeg_worker.outcome import AttemptError

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
#: What RTMP is made of, and when a silent server counts as gone: 30 s, in microseconds.
_RTMP: Final = ("-protocol_whitelist", "rtmp,rtmps,tcp,tls", "-rw_timeout", "30000000")


@dataclass(frozen=True)
class Places:
    """Where things are as ffmpeg sees them."""

    source: str | None  #: a path in the sandbox, or an rtmp(s) URL; None: a synthetic source
    sink: str  #: a path in the sandbox, or an rtmp(s) URL
    sink_format: str  #: ffmpeg's name of the muxer
    progress: str  #: a path in the sandbox
    vaapi_device: str | None = None
    preset: str = ""  #: a path in the sandbox: the file with the rest of a stream's URL


def sink_format(job: Job) -> str:
    """The muxer: as asked, else by the output's extension, else mp4; always flv over RTMP."""
    if is_rtmp(job.output):
        return "flv"
    if job.parameters.format:
        return job.parameters.format
    path = (job.output or "").partition("?")[0]
    return _MUXERS.get(PurePosixPath(path).suffix.lower(), "mp4")


def encoders_of(asked: Parameters, muxer: str) -> tuple[str, str]:
    """What video and audio are encoded with: as asked, or as the format has it; "none" is left
    out."""
    video = asked.encoder if asked.encoder else _VIDEO.get(muxer, "libx264")
    audio = asked.audio_encoder if asked.audio_encoder else _AUDIO.get(muxer, "aac")
    return video, audio


def needs_network(job: Job) -> bool:
    """Only streams do: files over HTTP are fetched and uploaded outside of the sandbox."""
    return is_rtmp(job.input) or is_rtmp(job.output)


def expected_seconds(job: Job, input_seconds: float | None) -> float | None:
    """The output's length: the input's, or what the job cuts of it."""
    asked = job.parameters.duration
    if input_seconds is None or asked is None:
        return asked or input_seconds
    return min(asked, input_seconds)


def gpu_devices(job: Job) -> tuple[str, ...]:
    """The device nodes that the job's encoder needs."""
    encoder = job.parameters.encoder
    return family_of(encoder).devices if encoder and encoder not in ("copy", "none") else ()


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


def copy_argv(path: str) -> tuple[str, ...]:
    """The command that reads all of a media file, and keeps nothing of it."""
    return (
        *("ffmpeg", "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info"),
        *("-protocol_whitelist", "file", "-i", f"file:{path}"),
        *("-map", "0", "-c", "copy", "-f", "null", "-"),
    )


def ffmpeg_argv(job: Job, places: Places, threads: int) -> tuple[str, ...]:
    """The whole command. ``threads``: as many as the job has cores, so that none waits.

    Raises AttemptError (encoder_error) for parameters that contradict each other.
    """
    asked = job.parameters
    video, audio = encoders_of(asked, places.sink_format)
    _refuse_contradictions(asked, video, audio)
    return (
        "ffmpeg",
        # Each line with its level: outcome.py reads the complaints among them.
        *("-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info", "-y"),
        *("-progress", f"file:{places.progress}", "-stats_period", "1"),
        *_device(video, places),
        *_source(asked, places, threads),
        *_streams(places.source, video, audio),
        *_video(asked, video, threads, live=is_rtmp(places.sink)),
        *_audio(asked, audio),
        *_sink(places),
    )


def _device(video: str, places: Places) -> tuple[str, ...]:
    if video.endswith("_vaapi"):
        return ("-vaapi_device", places.vaapi_device or RENDER_NODE)
    if video.endswith("_qsv"):
        return ("-qsv_device", places.vaapi_device or RENDER_NODE)
    return ()


def _refuse_contradictions(asked: Parameters, video: str, audio: str) -> None:
    """A stream that is copied or left out takes no settings: say so, rather than ignore them."""
    if video == audio == "none":
        raise AttemptError(
            Reason.ENCODER_ERROR, "parameters: neither video nor audio is left to encode"
        )
    for field, encoder, names in (
        ("encoder", video, ("bitrate", "preset", "tune", "crf", "width", "height", "framerate")),
        ("audio_encoder", audio, ("audio_bitrate",)),
    ):
        given = [name for name in names if getattr(asked, name) is not None]
        if encoder in ("copy", "none") and given:
            raise AttemptError(
                Reason.ENCODER_ERROR,
                f"parameters.{given[0]}: {getattr(asked, given[0])} has no effect with "
                f'{field} "{encoder}"; leave it out, or name an encoder',
            )


def _source(asked: Parameters, places: Places, threads: int) -> tuple[str, ...]:
    cut = () if asked.duration is None else ("-t", f"{asked.duration:.3f}")
    # What viewers watch goes out at its own pace.
    pace = ("-re",) if is_rtmp(places.sink) else ()
    if places.source is None:
        picture = f"testsrc2=size={asked.width or _WIDTH}x{asked.height or _HEIGHT}"
        return (
            *("-f", "lavfi", *pace, *cut, "-i", f"{picture}:rate={asked.framerate or _FRAMERATE}"),
            *("-f", "lavfi", *pace, *cut, "-i", "sine=frequency=440:sample_rate=48000"),
        )
    # 16: ffmpeg's own limit where it chooses (libavcodec/pthread_internal.h).
    decoders = ("-threads", str(min(threads, 16)))
    if is_rtmp(places.source):
        return (*decoders, *_RTMP, *cut, "-i", places.source)
    file = ("-protocol_whitelist", "file")
    return (*decoders, *file, *pace, *cut, "-i", f"file:{places.source}")


def _streams(source: str | None, video: str, audio: str) -> tuple[str, ...]:
    """The first picture and the first sound, where there are any; no cover art, no data."""
    sound = "1:a:0" if source is None else "0:a:0?"
    return (
        *(("-vn",) if video == "none" else ("-map", "0:V:0?")),
        *(("-an",) if audio == "none" else ("-map", sound)),
        *("-sn", "-dn", "-map_metadata", "0", "-map_chapters", "0" if source else "-1"),
    )


def _video(asked: Parameters, encoder: str, threads: int, *, live: bool) -> tuple[str, ...]:
    if encoder == "none":
        return ()
    if encoder == "copy":
        return ("-c:v", "copy")
    options = ["-c:v", encoder, *settings(asked, encoder, threads)]
    filters = _filters(asked, encoder)
    if filters:
        options += ["-vf", filters]
    if asked.framerate:
        options += ["-r", str(asked.framerate)]
    if live:
        # A viewer waits for the next key frame: one every 2 s is what RTMP services ask for.
        options += ["-force_key_frames", "expr:gte(t,n_forced*2)"]
    return tuple(options)


def _filters(asked: Parameters, encoder: str) -> str:
    """Scale into the box that was asked for, keeping the picture's shape; sizes stay even.

    No bars are added: a 4:3 picture in a box of 1920x1080 is 1440x1080.
    """
    parts: list[str] = []
    if asked.width and asked.height:
        box = f"w={asked.width}:h={asked.height}"
        parts.append(f"scale={box}:force_original_aspect_ratio=decrease:force_divisible_by=2")
    elif asked.width or asked.height:
        parts.append(f"scale=w={asked.width or -2}:h={asked.height or -2}")
    elif encoder != "ffv1":
        # 4:2:0 needs even sizes; most sources have them, and then this changes nothing.
        parts.append("scale=w=trunc(iw/2)*2:h=trunc(ih/2)*2")
    if encoder.endswith("_vaapi"):
        parts += ["format=nv12", "hwupload"]
    return ",".join(parts)


def _audio(asked: Parameters, encoder: str) -> tuple[str, ...]:
    if encoder == "none":
        return ()
    rate = ("-b:a", asked.audio_bitrate) if asked.audio_bitrate and encoder != "copy" else ()
    return ("-c:a", encoder, *rate)


def _sink(places: Places) -> tuple[str, ...]:
    if is_rtmp(places.sink):
        # A stream has no header that its length could be written into afterwards.
        flv = ("-flvflags", "no_duration_filesize", "-fpre", places.preset)
        return (*flv, *_RTMP, "-f", places.sink_format, places.sink)
    # The index in front, so that playing can begin while the file is still coming.
    front = ("-movflags", "+faststart") if places.sink_format in ("mp4", "mov") else ()
    return (*front, "-f", places.sink_format, f"file:{places.sink}")


def is_rtmp(place: str | None) -> bool:
    """Whether it is the URL of a stream."""
    return place is not None and place.lower().startswith(("rtmp://", "rtmps://"))
