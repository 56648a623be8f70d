"""Another process of the machine keeps the database to itself, or its disk is full."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest
import requests
import structlog

from ffmpeg_jobs import problems
from ffmpeg_jobs.model import Role
from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.housekeeping import repeat
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.schema import migrate
from ffmpeg_master.store.sqlite import PATIENCE_SECONDS
from tests.api.conftest import JOB, MACHINE, Launch, Outside, until

MUCH = "CREATE TABLE IF NOT EXISTS more AS SELECT zeroblob(9999999)"


def hold(directory: Path) -> sqlite3.Connection:
    return sqlite3.connect(directory / "master.db", isolation_level=None, timeout=30)


def health(master: Outside) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", master.listener.getsockname()[1], timeout=30)
    with closing(connection):
        connection.request("GET", "/health")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_a_lock_is_told_and_gone_on_after(launch: Launch) -> None:
    master = launch().ready()
    client = master.client()
    client.register("ada", MACHINE)
    with closing(hold(master.directory)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="the database is locked by another process"):
            client.submit(JOB)
        # No queue forms: all who wait are told soon, and who reads is answered as ever.
        assert until(lambda: health(master)[0] == 503)
        assert '"database": "locked"' in health(master)[1]
        assert [*client.jobs()] == []
        other.execute("ROLLBACK")
    client.submit(JOB)
    until(lambda: health(master)[0] == 200)
    until(lambda: "event=database_works_again" in master.log)
    lines = [line for line in master.log.splitlines() if "event=database_broken" in line]
    assert len(lines) == 1, master.log
    assert "Traceback" not in master.log


def test_no_queue_forms_at_a_lock(launch: Launch) -> None:
    """Each waits no longer than the first did: else the tenth would wait for ten of them."""
    master = launch().ready()
    with requests.Session() as session, closing(hold(master.directory)) as other:
        session.headers["Authorization"] = f"Bearer {master.secrets[Role.SUBMIT]}"
        other.execute("BEGIN IMMEDIATE")
        first, *later = [session.post(f"{master.url}/jobs", json=JOB) for _ in range(20)]
        assert {answer.status_code for answer in (first, *later)} == {503}
        assert first.headers["Content-Type"] == problems.MEDIA_TYPE
        # Less than the patience that each would have on its own: no speed, a bound.
        assert sum(answer.elapsed.total_seconds() for answer in later) < 19 * PATIENCE_SECONDS
        other.execute("ROLLBACK")
        assert until(lambda: session.post(f"{master.url}/jobs", json=JOB).status_code == 201)


def test_a_full_disk_is_told_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/master.db")
    migrate(store)
    with structlog.testing.capture_logs() as log:
        for pages in (1, 1, 1, 1 << 30):  # SQLite's own bound says the same as a disk
            with store.read() as connection:
                connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
            with suppress(Unavailable), store.write() as connection:
                connection.exec_driver_sql(
                    "CREATE TABLE IF NOT EXISTS more AS SELECT zeroblob(9999999)"
                )
    store.close()
    assert [line["event"] for line in log] == ["database_broken", "database_works_again"]
    assert "full" in log[0]["detail"]


def test_a_round_that_the_database_refuses_has_no_traceback() -> None:
    stopped, rounds = threading.Event(), []

    def work() -> None:
        rounds.append(1)
        if len(rounds) == 3:
            stopped.set()
        raise Unavailable("the database is locked by another process")

    with structlog.testing.capture_logs() as log:
        repeat(stopped, 0.001, work)
    assert {line["log_level"] for line in log} == {"debug"}
