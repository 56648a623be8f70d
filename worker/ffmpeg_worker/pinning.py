"""The names of a job's streams, looked up and checked before it runs, and pinned.

Who runs in the sandbox asks no name server: its /etc/hosts has these names at the addresses that
the policy allows, so that no name moves between the check and the connection.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from ffmpeg_jobs.destination import NotAllowed
from ffmpeg_jobs.dialing import addresses, target_of
from ffmpeg_jobs.model import Reason
from ffmpeg_worker.command import is_rtmp
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.stream import HOSTS, LINE_BYTES, REST, SWITCH, pinned_files, sink_of


def pin(plan: Plan) -> None:
    """Look up and write. Raises AttemptError."""
    job = plan.claim.job
    names = pinned_files(job)
    if not names:
        return
    texts = {
        HOSTS: "".join(line for place in (job.input, job.output) for line in _lines(plan, place)),
        SWITCH: "hosts: files\n",
        REST: _rest(job.output) if is_rtmp(job.output) else "",
    }
    try:
        for name in names:
            _write(Path(plan.directory) / name, texts[name])
    except OSError as error:
        words = f"cannot write the job directory {plan.directory}: {error.strerror}"
        raise AttemptError(Reason.DISK_FULL, words) from None


def _lines(plan: Plan, place: str | None) -> Iterator[str]:
    """Of /etc/hosts (hosts(5)), for the host of a stream."""
    if place is None or not is_rtmp(place):
        return
    try:
        target = target_of(place)
        found = addresses(target.host, target.port, plan.network)
    except (ValueError, NotAllowed) as error:
        raise AttemptError(Reason.INPUT_ERROR, f"the stream cannot be opened: {error}") from None
    except OSError as error:
        words = f"the stream cannot be opened: {target.host}: {error.strerror or error}"
        raise AttemptError(Reason.NETWORK_ERROR, words) from None
    spelt = dict.fromkeys((target.host, urlsplit(place).hostname))
    yield from (f"{address} {name}\n" for address in found for name in spelt)


def _rest(output: str | None) -> str:
    text = sink_of(str(output)).preset
    if any(len(line.encode()) > LINE_BYTES for line in text.splitlines()):
        words = f"the stream cannot be opened: its path is over {LINE_BYTES} bytes"
        raise AttemptError(Reason.INPUT_ERROR, words)
    return text


def _write(file: Path, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with os.fdopen(os.open(file, flags, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
