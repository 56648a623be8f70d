"""Whoever comes again to watch goes on where it was, and nothing is left out."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.model import JobStatus, Role, State
from ffmpeg_master import auth
from ffmpeg_master.api import events
from ffmpeg_master.model import Grant
from ffmpeg_master.store import keys, schema
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import jobs
from tests.api.conftest import JOB, PATIENCE_SECONDS, Outside, start
from tests.conftest import ENGINES

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)


def missed(client: MasterClient, after: str) -> list[str]:
    """The jobs whose changes are told to who comes with that id, before it hears of new ones."""
    told = client.all_changes(after)
    ids, found = [], []
    while (change := next(told))[1] is not None:
        ids.append(float(change[0]))
        found.append(change[1].id)
    assert all(at <= float(change[0]) for at in ids)  # from there nothing is left out
    return found


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """The database of ``either``."""
    opened = Store(url)
    schema.migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def either(store: Store, url: str, tmp_path: Path) -> Iterator[Outside]:
    """A real master on either kind of database."""
    secrets = {role: auth.new_secret() for role in Role}
    for role, secret in secrets.items():
        keys.create(store, role.value, Grant(role), auth.digest(secret))
    (tmp_path / "master.toml").write_text(f'database = "{url}"\n')
    (tmp_path / "log").write_text("")
    with ExitStack() as sessions, socket.create_server(("127.0.0.1", 0)) as listener:
        process = start(tmp_path, listener)
        try:
            yield Outside(process, listener, tmp_path, secrets, sessions).ready()
        finally:
            process.kill()
            process.wait(PATIENCE_SECONDS)


def changed(store: Store, job_id: str, **values: Any) -> None:
    """A job's row is otherwise now."""
    with store.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))


def of_all(client: MasterClient, after: str | None = None) -> Iterator[tuple[str, JobStatus]]:
    """The changes of all jobs, without the places between them."""
    return ((at, job) for at, job in client.all_changes(after) if job is not None)


def test_a_client_that_comes_again_goes_on_where_it_was(either: Outside) -> None:
    client = either.client()
    first, second = client.submit(JOB).id, client.submit(JOB).id
    seen = of_all(either.client(), after="0")
    known: dict[str, str] = {}
    while not {first, second} <= known.keys():
        at, job = next(seen)
        known[job.id] = at
    client.cancel(first)
    again = of_all(either.client(), after=known[second])
    while (job := next(again)[1]).id != first or job.state is not State.CANCELED:
        pass
    client.cancel(second)
    one = either.client().changes(second, after=known[second])
    assert [job.state for _, job in one] == [State.CANCELED]
    # An end is told again: who missed it would wait for ever.
    at, _ = next(either.client().changes(second))
    assert [job.state for _, job in either.client().changes(second, after=at)] == [State.CANCELED]


def test_who_heard_nothing_goes_on_too(either: Outside) -> None:
    place, nothing = next(either.client().all_changes())
    assert nothing is None
    job_id = either.client().submit(JOB).id
    assert missed(either.client(), place) == [job_id]


def test_what_is_committed_long_after_its_time_is_told(either: Outside, store: Store) -> None:
    late, sooner = (either.client().submit(JOB).id for _ in range(2))
    changed(store, late, updated_at=store.now() - 3600)
    seen = either.client().all_changes()
    place, _ = next(seen)
    live = ((at, job) for at, job in seen if job is not None)
    either.client().cancel(sooner)
    place, job = next(live)
    assert job.id == sooner
    changed(store, late, updated_at=store.now() - 30, unmet="late")
    assert next(live)[1].unmet == "late"
    assert missed(either.client(), place) == [late, sooner]


def test_an_end_with_an_earlier_time_is_told(either: Outside, store: Store) -> None:
    job_id = either.client().submit(JOB).id
    seen = (job for _, job in either.client().changes(job_id))
    assert next(seen).state is State.QUEUED
    ended = {"state": State.COMPLETED.value, "finished_at": store.now()}
    changed(store, job_id, updated_at=store.now() - 30, **ended)
    assert [job.state for job in seen] == [State.COMPLETED]


def test_what_is_before_an_id_that_is_to_come_is_told(either: Outside, store: Store) -> None:
    """The clock was set back since."""
    old, older = (either.client().submit(JOB).id for _ in range(2))
    changed(store, old, updated_at=store.now() + 500)
    changed(store, older, updated_at=store.now() - events.RESUME_SECONDS / 2)
    assert missed(either.client(), f"{store.now() + 1000:.3f}") == [older, old]


def test_who_was_away_for_long_does_not_read_all_there_ever_was(
    either: Outside, store: Store
) -> None:
    old, recent = (either.client().submit(JOB).id for _ in range(2))
    changed(store, old, updated_at=store.now() - events.RESUME_SECONDS - 1)
    assert missed(either.client(), "0") == [recent]


def test_a_tenant_is_told_of_its_own_jobs_also_when_it_comes_again(
    either: Outside, store: Store
) -> None:
    secrets = {name: auth.new_secret() for name in ("ann", "eve")}
    for name, secret in secrets.items():
        keys.create(store, name, Grant(Role.SUBMIT, tenant=name), auth.digest(secret))
    ann, eve = (either.client_with(secret) for secret in secrets.values())
    before = ann.submit(JOB).id, eve.submit(JOB).id
    live = of_all(either.client_with(secrets["eve"]), after="0")
    assert next(live)[1].id == before[1]
    during = ann.submit(JOB).id, eve.submit(JOB).id
    assert next(live)[1].id == during[1]
    again = of_all(either.client_with(secrets["eve"]), after="0")
    assert [next(again)[1].id for _ in range(2)] == [before[1], during[1]]
    ann.cancel(before[0])
    eve.cancel(before[1])
    assert next(again)[1].id == before[1]
