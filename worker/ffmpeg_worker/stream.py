"""A stream's URL as ffmpeg is given it: without its key, which goes by a file. Pure.

ffmpeg takes an output's options also from a file (``-fpre``), what protocols are told among them.
So a key stands neither on a command line, which every account of a machine may read, nor in what
ffmpeg says of its URL. An input has no such file, and the user of a URL is taken from nowhere else:
these stay where they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ffmpeg_jobs.model import Job
from ffmpeg_worker.command import is_rtmp, needs_network

#: Files in a job's directory (``pinning.py``): the hosts of its streams, where names are looked
#: up, and the rest of an output's URL.
HOSTS, SWITCH, REST = "hosts", "nsswitch.conf", "stream"
#: Where the sandbox has the last.
PRESET: Final = "/stream"
#: A line of the file is shorter than that, in bytes (opt_preset in ffmpeg's ffmpeg_opt.c).
LINE_BYTES: Final = 999


@dataclass(frozen=True)
class Sink:
    """Where a stream is sent to."""

    url: str  #: without what tells streams of one server apart
    preset: str  #: the text of the file that ``-fpre`` reads


def pinned_files(job: Job) -> dict[str, str]:
    """The files that a job needs for its streams, and where its sandbox has them."""
    found = {}
    if needs_network(job):
        found = {HOSTS: "/etc/hosts", SWITCH: "/etc/nsswitch.conf"}
    if is_rtmp(job.output):
        found[REST] = PRESET
    return found


def sink_of(url: str) -> Sink:
    """The URL in parts, as ffmpeg takes it apart itself (libavformat/rtmpproto.c, rtmp_open)."""
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    app, playpath = _split(path)
    named = (("rtmp_app", app), ("rtmp_playpath", _named(playpath)))
    preset = "".join(f"{name}={value}\n" for name, value in named if value)
    return Sink(f"{parts.scheme}://{parts.netloc}/", preset)


def _split(path: str) -> tuple[str, str]:
    """Application and what is played of it: the application may be two parts of the path."""
    if path.startswith("/ondemand/"):
        return "ondemand", path.removeprefix("/ondemand/")
    whole = path.removeprefix("/")
    first, _, rest = whole.partition("/")
    second, slash, playpath = rest.partition("/")
    colon = rest.find(":")
    if not slash or 0 <= colon < len(second):
        return first, rest
    return f"{first}/{second}", playpath


def _named(playpath: str) -> str:
    """The name as servers know it, without or with what kind of file it is."""
    if ":" not in playpath and playpath.endswith((".f4v", ".mp4")):
        return f"mp4:{playpath}"
    return playpath.removesuffix(".flv")
