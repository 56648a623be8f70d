"""How the families of video encoders take their settings, one row each. Pure.

ffmpeg only warns of an option that an encoder does not know, and goes on without it; a job
that asked for it must not. So what a family cannot do is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ffmpeg_jobs.model import Parameters, Reason
from ffmpeg_worker.outcome import AttemptError

#: libvpx and libaom take no more.
THREADS_MAX: Final = 64
RENDER_NODE: Final = "/dev/dri/renderD128"
_NVIDIA: Final = (
    "/dev/nvidia0",
    "/dev/nvidiactl",
    "/dev/nvidia-uvm",
    "/dev/nvidia-uvm-tools",
    "/dev/nvidia-modeset",
)

Options = tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """Options as ffmpeg-codecs(1) names them, with places for the values; None: cannot do."""

    preset: Options | None = None
    tune: Options | None = None
    quality: Options | None = None  #: constant quality, alone
    average: Options | None = None  #: an average bitrate
    capped: Options | None = None  #: constant quality under a bitrate
    pixels: str | None = "yuv420p"  #: 8 bits and 4:2:0, which every player shows
    threads: Options = ("-threads", "{threads}")
    devices: tuple[str, ...] = ()


_PRESET: Final = ("-preset", "{preset}")
_SPEED: Final = ("-cpu-used", "{preset}")
_TUNE: Final = ("-tune", "{tune}")
_CRF: Final = ("-crf", "{crf}")
_CAP: Final = ("-maxrate", "{rate}", "-bufsize", "{buffer}")
_RATE: Final = ("-b:v", "{rate}")

#: By name, else by the end of the name. Those in software were tried on ffmpeg 5.1 and 7.1.
FAMILIES: Final = {
    "libx264": Family(_PRESET, _TUNE, _CRF, (*_RATE, *_CAP), (*_CRF, *_CAP)),
    # -threads would be x265's frame threads, 16 at most; what takes the cores is its pool.
    "libx265": Family(
        _PRESET,
        _TUNE,
        _CRF,
        (*_RATE, *_CAP),
        (*_CRF, *_CAP),
        threads=("-x265-params", "pools={threads}"),
    ),
    # SVT-AV1 refuses a maximum beside an average.
    "libsvtav1": Family(_PRESET, None, _CRF, _RATE, (*_CRF, *_CAP)),
    "libaom-av1": Family(_SPEED, _TUNE, (*_CRF, "-b:v", "0"), (*_RATE, *_CAP), (*_CRF, *_RATE)),
    "libvpx-vp9": Family(_SPEED, _TUNE, (*_CRF, "-b:v", "0"), (*_RATE, *_CAP), (*_CRF, *_RATE)),
    # VP8 knows quality only under a bitrate, and without one takes 256 kbit/s.
    "libvpx": Family(_SPEED, _TUNE, (*_CRF, "-b:v", "100M"), (*_RATE, *_CAP), (*_CRF, *_RATE)),
    "mpeg4": Family(average=(*_RATE, *_CAP)),
    "prores_ks": Family(pixels=None),
    "ffv1": Family(pixels=None),
    "_nvenc": Family(
        _PRESET,
        _TUNE,
        ("-rc", "vbr", "-cq", "{crf}", "-b:v", "0"),
        (*_RATE, *_CAP),
        ("-rc", "vbr", "-cq", "{crf}", "-b:v", "0", *_CAP),
        devices=_NVIDIA,
    ),
    "_qsv": Family(
        _PRESET,
        None,
        ("-global_quality", "{crf}"),
        (*_RATE, *_CAP),
        ("-global_quality", "{crf}", *_CAP),
        pixels="nv12",
        devices=(RENDER_NODE,),
    ),
    # Pixels: its upload filter sets them.
    "_vaapi": Family(
        quality=("-rc_mode", "CQP", "-global_quality", "{crf}"),
        average=(*_RATE, *_CAP),
        pixels=None,
        devices=(RENDER_NODE,),
    ),
    "_amf": Family(
        ("-quality", "{preset}"),
        None,
        ("-rc", "cqp", "-qp_i", "{crf}", "-qp_p", "{crf}"),
        (*_RATE, *_CAP),
        devices=(RENDER_NODE,),
    ),
}


def family_of(encoder: str) -> Family:
    """The family of one of bounds.VIDEO_ENCODERS."""
    found = FAMILIES.get(encoder)
    return found or FAMILIES["_" + encoder.rpartition("_")[2]]


def settings(asked: Parameters, encoder: str, threads: int) -> Options:
    """Threads, preset, tune, quality or bitrate, and pixels, as the encoder's family takes them.

    Raises AttemptError (encoder_error) for what it cannot do.
    """
    family = family_of(encoder)
    rate = ("crf", family.quality) if asked.bitrate is None else ("bitrate", family.average)
    if asked.crf is not None and asked.bitrate is not None:
        rate = ("crf", family.capped)
    wanted = (("preset", family.preset), ("tune", family.tune), rate)
    options = list(family.threads)
    for name, template in wanted:
        value = getattr(asked, name)
        if value is not None and template is None:
            raise _no_effect(name, value, encoder, beside=asked.bitrate if name == "crf" else None)
        options += template if value is not None and template else ()
    if family.pixels:
        options += ["-pix_fmt", family.pixels]
    bitrate = asked.bitrate or "0"
    values = {
        "threads": min(threads, THREADS_MAX),
        "preset": asked.preset,
        "tune": asked.tune,
        "crf": asked.crf,
        "rate": bitrate,
        "buffer": _twice(bitrate),
    }
    return tuple(option.format_map(values) for option in options)


def _no_effect(name: str, value: object, encoder: str, beside: str | None) -> AttemptError:
    also = f" and bitrate {beside}" if beside else ""
    return AttemptError(
        Reason.ENCODER_ERROR,
        f'parameters.{name}: {value} has no effect with encoder "{encoder}"{also}; '
        "leave it out, or name another encoder",
    )


def _twice(bitrate: str) -> str:
    """Two seconds of it, the customary decoder buffer."""
    digits = bitrate.rstrip("kM")
    return f"{2 * int(digits)}{bitrate[len(digits) :]}"
