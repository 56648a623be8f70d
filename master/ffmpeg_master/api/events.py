"""Jobs, told as they change: Server-Sent Events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ffmpeg_jobs.model import FINAL_STATES, JobStatus
from ffmpeg_master.api import views
from ffmpeg_master.api.call import EVENTS, Answer, Call
from ffmpeg_master.feed import OVERLAP_SECONDS, read
from ffmpeg_master.model import Change
from ffmpeg_master.store import changes

#: Said when there is nothing to tell, so that proxies and clients know that we are there.
KEEP_ALIVE_SECONDS: Final = 15.0
#: A stream ends after this long and the client comes again, with a key that is still good.
STREAM_SECONDS: Final = 600.0
#: Between two looks whether the key is valid yet, if nothing happens.
_ROUND_SECONDS: Final = 1.0
#: How far back a client goes on; who was away for longer asks for the list.
RESUME_SECONDS: Final = 3600.0
#: When it may come again.
_RETRY_MILLISECONDS: Final = 1000
#: nginx would keep what we say until there is enough of it.
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Wants = Callable[[Change], bool]


def of_job(call: Call) -> Answer:
    """GET /jobs/{job_id}/events"""
    store, job_id, told = call.master.store, call.path["job_id"], _told(call)
    changes.last(store, job_id)  # refused before the stream begins

    def first() -> Iterator[Change]:
        change = changes.last(store, job_id)
        if change.at != told or change.status.state in FINAL_STATES:
            yield change

    def wants(change: Change) -> bool:
        return bool(change.status.id == job_id)

    return _answer(_stream(call, wants, first, ends=True))


def of_all(call: Call) -> Answer:
    """GET /events"""
    store, sees, told = call.master.store, call.sees, _told(call)

    def wants(change: Change) -> bool:
        return sees is None or change.tenant == sees

    def first() -> Iterator[Change]:
        if told is not None:
            since = max(told - OVERLAP_SECONDS, store.now() - RESUME_SECONDS)
            yield from read(store, since, sees)

    return _answer(_stream(call, wants, first, ends=False))


def _told(call: Call) -> float | None:
    """The change that the client was told of last."""
    text = call.headers.get("Last-Event-ID")
    return None if text is None else float(text)


def _answer(stream: Iterator[bytes]) -> Answer:
    # What it refuses is refused now, not in the midst of an answer.
    return Answer(body=_chain(next(stream), stream), headers=_HEADERS, media=EVENTS)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _stream(
    call: Call, wants: Wants, first: Callable[[], Iterator[Change]], *, ends: bool
) -> Iterator[bytes]:
    """Events, until the client goes, its key or the master ends or, with ``ends``, the job."""
    feed, begun_at = call.master.feed, time.monotonic()
    said_at = begun_at
    told: dict[int, tuple[float, tuple[object, ...]]] = {}
    with feed.watcher(wants, call.by) as watcher:
        yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
        news: Iterable[Change] = first()
        while True:
            for change in news:
                if not call.admitted():
                    return
                before = told.get(change.number, (0.0, ()))
                if change.at > before[0]:  # else it was read twice
                    stands = _stands(change.status)
                    told[change.number] = change.at, stands
                    said_at = time.monotonic()
                    yield _event(change, "progress" if stands == before[1] else "state")
                if ends and change.status.state in FINAL_STATES:
                    return
            news = watcher.take(_ROUND_SECONDS)
            now = time.monotonic()
            if feed.closed or now > begun_at + STREAM_SECONDS or not call.admitted():
                return
            if not news and now > said_at + KEEP_ALIVE_SECONDS:
                said_at = now
                yield b":\n\n"


def _stands(status: JobStatus) -> tuple[object, ...]:
    """Where the job stands; while that is the same, it only went further on."""
    asked = status.cancel_requested, status.pause_requested, status.job.resource_limits
    return status.state, status.attempt, status.worker, status.in_force, status.unmet, *asked


def _event(change: Change, name: str) -> bytes:
    data = json.dumps(views.show(change.status), separators=(",", ":"))
    return f"id: {change.at!r}\nevent: {name}\ndata: {data}\n\n".encode()
