"""Who watches is told of each change as it happens."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from ffmpeg_jobs.model import Heartbeat, JobStatus, Outcome, Progress, Report, Role, State
from ffmpeg_jobs.problems import MasterUnreachable, NotFound
from ffmpeg_master import feed
from ffmpeg_master.api import events
from ffmpeg_master.store import changes
from tests.api.conftest import (
    JOB,
    MACHINE,
    PATIENCE_SECONDS,
    Inside,
    Launch,
    Outside,
    add_key,
    command,
    in_thread,
)


@pytest.fixture
def master(launch: Launch) -> Outside:
    return launch().ready()


def stream(master: Outside, path: str, role: Role = Role.ADMIN, **headers: str) -> Any:
    headers["Authorization"] = f"Bearer {master.secrets[role]}"
    return requests.get(master.url + path, headers=headers, stream=True, timeout=PATIENCE_SECONDS)


def told(master: Outside, job_id: str) -> Iterator[JobStatus]:
    """How the job stands, each time that it changes."""
    return (job for _, job in master.client().changes(job_id))


def test_each_step_of_a_job_until_its_end(master: Outside) -> None:
    client = master.client()
    client.register("ada", MACHINE)
    job_id = client.submit(JOB).id
    seen = told(master, job_id)
    assert next(seen).state is State.QUEUED
    claim = client.claim("ada", 0)
    assert claim is not None
    assert next(seen).state is State.RUNNING
    report = Report(job_id, 1, claim.token, Progress(percent=42.0, frame=42))
    client.heartbeat("ada", Heartbeat((report,)))
    progress = next(seen).progress
    assert progress is not None
    assert progress.percent == 42.0
    client.finish(job_id, 1, claim.token, Outcome(State.COMPLETED))
    assert [job.state for job in seen] == [State.COMPLETED]


def test_the_form_of_the_events(master: Outside) -> None:
    client = master.client()
    client.register("ada", MACHINE)
    job_id = client.submit(JOB).id
    claim = client.claim("ada", 0)
    assert claim is not None
    answer = stream(master, f"/jobs/{job_id}/events")
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    lines = answer.iter_lines(decode_unicode=True)
    assert [next(lines), next(lines)] == ["retry: 1000", ""]
    event = [next(lines) for _ in range(4)]
    assert [line.partition(":")[0] for line in event] == ["id", "event", "data", ""]
    assert event[1] == "event: state"
    assert json.loads(event[2][6:])["state"] == "running"
    report = Report(job_id, 1, claim.token, Progress(percent=1.0))
    client.heartbeat("ada", Heartbeat((report,)))
    assert [next(lines) for _ in range(4)][1] == "event: progress"
    client.finish(job_id, 1, claim.token, Outcome(State.COMPLETED))
    assert [next(lines) for _ in range(4)][1] == "event: state"
    assert list(lines) == []


def test_all_jobs(master: Outside) -> None:
    lines = stream(master, "/events").iter_lines(decode_unicode=True)
    assert next(lines) == "retry: 1000"  # it has begun
    job_id = master.client().submit(JOB).id
    while not (line := next(lines)).startswith("data:") or json.loads(line[6:])["id"] != job_id:
        pass
    assert json.loads(line[6:])["state"] == "queued"


def test_nobody_hears_of_another_tenant_s_jobs(inside: Inside) -> None:
    mine = inside.client().submit(JOB).id
    inside.secrets[Role.READ] = add_key(inside.master, "other", Role.READ, tenant="other")
    answer = inside.call("GET", f"/jobs/{mine}/events", role=Role.READ)
    assert answer.status_code == 404
    with pytest.raises(NotFound):
        next(inside.client().changes("aaaaaaaaaaaa"))


def test_what_is_no_id_is_refused(inside: Inside) -> None:
    answer = inside.call("GET", "/events", headers={"Last-Event-ID": "soon"})
    assert answer.status_code == 422
    assert "Last-Event-ID" in answer.json()["detail"]


def test_too_many_are_asked_to_come_later(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "WATCHERS_MOST", 1)
    with inside.master.feed.watcher(lambda _: True, "ann"):
        answer = inside.call("GET", "/events")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "1 watch already" in answer.json()["detail"]


def test_one_key_does_not_take_the_places_of_all(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "WATCHERS_OF_KEY_MOST", 1)
    with inside.master.feed.watcher(lambda _: True, "read"):
        answer = inside.call("GET", "/events", Role.READ)
        assert answer.status_code == 503
        assert "1 watch with the key read already" in answer.json()["detail"]
        with inside.master.feed.watcher(lambda _: True, "ann"):
            pass  # there is room for others


def test_a_stream_ends_with_its_key(master: Outside) -> None:
    made = command(master.directory, "keys", "create", "--name", "gone", "--role", "read")
    seen = master.client_with(made.stdout.strip()).changes(master.client().submit(JOB).id)
    next(seen)
    assert command(master.directory, "keys", "revoke", "gone").returncode == 0
    begun = time.monotonic()
    assert list(seen) == []
    assert time.monotonic() - begun < events.STREAM_SECONDS / 2  # by far


def test_only_what_runs_is_kept_in_mind(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    client.submit(JOB)
    claim = client.claim("ada", 0)
    assert claim is not None
    ids = [claim.job_id, client.submit(JOB).id, client.submit(JOB).id]
    client.cancel(ids[2])
    store = inside.master.store
    told = events._Told(store)
    assert [told.note(changes.last(store, job_id)) for job_id in ids] == ["state"] * 3
    told.forget_some()
    assert all(told.knows(changes.last(store, job_id)) for job_id in ids)
    monkeypatch.setattr(events, "_KEEP_SECONDS", 0.0)
    told.forget_some()
    assert [told.knows(changes.last(store, job_id)) for job_id in ids] == [True, False, False]
    assert told.note(changes.last(store, ids[0])) == "progress"


def test_who_leaves_makes_room(master: Outside) -> None:
    job_id = master.client().submit(JOB).id
    for _ in range(5):
        answer = stream(master, f"/jobs/{job_id}/events")
        next(answer.iter_lines())
        answer.close()
    seen = told(master, job_id)
    next(seen)
    master.client().cancel(job_id)
    assert next(seen).state is State.CANCELED


def test_a_master_that_stops_lets_them_go(master: Outside) -> None:
    job_id = master.client().submit(JOB).id
    seen = told(master, job_id)
    next(seen)
    thread, rest = in_thread(lambda: list(seen))
    master.process.terminate()
    thread.join(PATIENCE_SECONDS)
    assert rest == [[]]
    assert master.process.wait(PATIENCE_SECONDS) == 0


def test_a_stream_that_breaks_off_is_told(master: Outside) -> None:
    job_id = master.client().submit(JOB).id
    seen = told(master, job_id)
    next(seen)
    children = Path(f"/proc/{master.process.pid}/task/{master.process.pid}/children")
    os.kill(int(children.read_text()), signal.SIGKILL)
    with pytest.raises(MasterUnreachable):
        next(seen)
