"""Jobs, told as they change: Server-Sent Events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from math import inf
from typing import Final, NamedTuple

from ffmpeg_jobs.model import FINAL_STATES, JobStatus, State
from ffmpeg_jobs.problems import NotFound
from ffmpeg_master.api import views
from ffmpeg_master.api.call import EVENTS, Answer, Call
from ffmpeg_master.feed import OVERLAP_SECONDS, read
from ffmpeg_master.model import Change
from ffmpeg_master.store import changes
from ffmpeg_master.store.engine import Store

#: Said when there is nothing to tell, so that proxies and clients know that we are there.
KEEP_ALIVE_SECONDS: Final = 15.0
#: A stream ends after this long and the client comes again, with a key that is still good.
STREAM_SECONDS: Final = 600.0
#: Between two looks whether the key is valid yet, if nothing happens.
_ROUND_SECONDS: Final = 1.0
#: How far back a client goes on; who was away for longer asks for the list.
RESUME_SECONDS: Final = 3600.0
#: How long it is known how a job stood that does not run: what was read twice comes sooner.
_KEEP_SECONDS: Final = 60.0
#: When it may come again.
_RETRY_MILLISECONDS: Final = 1000
#: nginx would keep what we say until there is enough of it.
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

_LIVE: Final = (State.RUNNING, State.PAUSED)

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

    return _answer(_stream(call, wants, first))


def of_all(call: Call) -> Answer:
    """GET /events"""
    store, sees, told = call.master.store, call.sees, _told(call)
    begun = store.now()

    def wants(change: Change) -> bool:
        return sees is None or change.tenant == sees

    def first() -> Iterator[Change]:
        if told is None:
            return
        since = max(told - OVERLAP_SECONDS, begun - RESUME_SECONDS)
        if told > begun:  # the clock was set back meanwhile, nobody knows how far
            since = begun - RESUME_SECONDS
        yield from read(store, since, sees)

    return _answer(_stream(call, wants, first, begun))


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
    call: Call, wants: Wants, first: Callable[[], Iterator[Change]], begun: float | None = None
) -> Iterator[bytes]:
    """Events, until the client goes, its key or the master ends or, if it is one job's, the job.

    ``begun``: when a stream of all jobs began, by the database's clock; None: it is one job's.
    """
    feed, began_at, ends = call.master.feed, time.monotonic(), begun is None
    told = _Told(call.master.store)
    with feed.watcher(wants, call.by) as watcher:
        yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
        # What comes late may be of before: whoever comes again asks from here.
        latest = inf if begun is None else begun
        if not (yield from _tell(call, told, first(), ends=ends, latest=latest)):
            return
        if begun is not None:
            yield f"id: {begun!r}\n\n".encode()  # no event: for who hears nothing more
        while not watcher.over and time.monotonic() < began_at + STREAM_SECONDS:
            news = watcher.take(_ROUND_SECONDS)
            if not (yield from _tell(call, told, news, ends=ends)):
                return
            told.forget_some()
            if time.monotonic() > told.said_at + KEEP_ALIVE_SECONDS:
                told.said_at = time.monotonic()
                yield b":\n\n"


def _tell(
    call: Call, told: _Told, news: Iterable[Change], *, ends: bool, latest: float = inf
) -> Generator[bytes, None, bool]:
    """Events of what was not told yet; whether the stream goes on after them.

    ``ends``: it does so with a job. ``latest``: no event has a later id.
    """
    for read_change in news:
        if not call.admitted():
            return False
        change = told.newest(read_change)
        if not told.knows(change):
            name = told.note(change)
            yield _event(change, min(change.at, latest), name)
        if ends and change.status.state in FINAL_STATES:
            return False
    return call.admitted()


class _Last(NamedTuple):
    """What a job's last event told."""

    at: float  #: the time of the change
    stands: tuple[object, ...]
    told_at: float  #: monotonic seconds


class _Told:
    """What was told of each job last, as long as that matters."""

    def __init__(self, store: Store) -> None:
        self.said_at = time.monotonic()
        self._store = store
        self._last: dict[int, _Last] = {}  #: by the job's number
        self._forgot_at = time.monotonic()

    def newest(self, change: Change) -> Change:
        """How the job of a change that was read stands, if that may have been told since.

        The times do not say it: a clock may be set back, and of two transactions the one that
        began first may end last.
        """
        last = self._last.get(change.number)
        if last is not None and change.at < last.at:
            with suppress(NotFound):
                return changes.last(self._store, change.status.id)
        return change

    def knows(self, change: Change) -> bool:
        """Whether it was told already: it was read twice."""
        last = self._last.get(change.number)
        return last is not None and change.at == last.at

    def note(self, change: Change) -> str:
        """It is told now, as an event of that name."""
        last, stands = self._last.get(change.number), _stands(change.status)
        self.said_at = time.monotonic()
        self._last[change.number] = _Last(change.at, stands, self.said_at)
        return "progress" if last is not None and stands == last.stands else "state"

    def forget_some(self) -> None:
        """Forget the jobs that do not run: their next event tells another state anyway."""
        now = time.monotonic()
        if now < self._forgot_at + _KEEP_SECONDS:
            return
        self._forgot_at = now
        self._last = {
            number: last
            for number, last in self._last.items()
            if last.stands[0] in _LIVE or now < last.told_at + _KEEP_SECONDS
        }


def _stands(status: JobStatus) -> tuple[object, ...]:
    """Where the job stands; while that is the same, it only went further on."""
    asked = status.cancel_requested, status.pause_requested, status.job.resource_limits
    return status.state, status.attempt, status.worker, status.in_force, status.unmet, *asked


def _event(change: Change, at: float, name: str) -> bytes:
    data = json.dumps(views.show(change.status), separators=(",", ":"))
    return f"id: {at!r}\nevent: {name}\ndata: {data}\n\n".encode()
