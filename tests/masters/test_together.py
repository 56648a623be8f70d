"""What two masters on one PostgreSQL owe each other and their clients."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
import requests
from sqlalchemy import insert, update

from ffmpeg_jobs.model import Claim, Heartbeat, Job, Order, Outcome, Report, Role, State
from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master import config
from ffmpeg_master.housekeeping import Housekeeping
from ffmpeg_master.master import Master, open_master
from ffmpeg_master.model import Grant, Needs
from ffmpeg_master.store import attendance, intake, keys, queue, workers
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.jobs import get
from ffmpeg_master.store.tables import keys as keys_table
from ffmpeg_master.store.troubles import Collision
from tests import handing
from tests.api.conftest import (
    JOB,
    MACHINE,
    PATIENCE_SECONDS,
    Clock,
    Inside,
    add_key,
    in_thread,
    start,
    until,
)
from tests.api.conftest import environment as its_environment
from tests.masters.conftest import Farm
from tests.postgres import Postgres


def submission(key: str | None = None) -> intake.Submission:
    return intake.Submission(Job(), Needs(), 4, "digest", key)


def test_the_second_knows_what_the_first_was_told(farm: Farm) -> None:
    first, second = (farm.client(master.ready().url) for master in farm.masters)
    first.register("ada", MACHINE)
    submitted = first.submit(JOB, "key")
    assert second.submit(JOB, "key").id == submitted.id
    claim = second.claim("ada", 5)
    assert claim is not None
    first.cancel(claim.job_id)
    report = Report(claim.job_id, claim.attempt, claim.token)
    orders = second.heartbeat("ada", Heartbeat((report,))).orders
    assert [order.order for order in orders] == [Order.CANCEL]


@pytest.fixture
def pair(url: str) -> Iterator[list[Master]]:
    """Two masters that hear each other and do nothing by themselves: no housekeeping."""
    settings = config.read(None, {"database": url}, {})
    masters = [open_master(settings) for _ in range(2)]
    for master in masters:
        master.relay.start(master.wakeup.hears, master.wakeup.wake_all)
    yield masters
    for master in masters:
        master.relay.stop()
        master.wakeup.close()
        master.store.close()


def listeners(postgres: Postgres) -> list[str]:
    """The connections of those who listen."""
    asking = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query LIKE '%notify%'"
    return [row for row in postgres.sql(asking, "postgres").split() if row]


def test_who_watches_at_one_is_told_of_a_change_at_the_other(farm: Farm) -> None:
    here, there = (farm.client(master.ready().url) for master in farm.masters)
    job_id = here.submit(JOB).id
    seen = here.changes(job_id)
    assert next(seen)[1].state is State.QUEUED
    there.cancel(job_id)
    assert next(seen)[1].state is State.CANCELED


def test_a_claim_at_one_is_woken_by_a_submit_at_the_other(
    pair: list[Master], postgres: Postgres
) -> None:
    one, other = pair
    until(lambda: len(listeners(postgres)) >= 2)
    tries: list[float] = []

    def attempt() -> bool | None:
        tries.append(time.monotonic())
        return True if len(tries) > 1 else None

    thread, found = in_thread(lambda: one.wakeup.wait_for("ada", PATIENCE_SECONDS, attempt))
    until(lambda: len(one.wakeup) == 1 and tries)
    other.wakeup.wake()
    thread.join(PATIENCE_SECONDS)
    assert (found, len(tries)) == ([True], 2)


def test_who_could_not_hear_looks_when_the_line_is_mended(
    pair: list[Master], postgres: Postgres
) -> None:
    one = pair[0]
    until(lambda: len(listeners(postgres)) >= 2)
    tries: list[float] = []

    def attempt() -> bool | None:
        tries.append(time.monotonic())
        return True if len(tries) > 1 else None

    thread, found = in_thread(lambda: one.wakeup.wait_for("ada", PATIENCE_SECONDS, attempt))
    until(lambda: len(one.wakeup) == 1 and tries)
    for pid in listeners(postgres):
        postgres.sql(f"SELECT pg_terminate_backend({pid})", "postgres")
    thread.join(PATIENCE_SECONDS)
    assert found == [True]


def test_claims_that_a_worker_left_end_at_every_master(
    pair: list[Master], postgres: Postgres
) -> None:
    one, other = pair
    until(lambda: len(listeners(postgres)) >= 2)
    thread, found = in_thread(lambda: one.wakeup.wait_for("ada", PATIENCE_SECONDS, lambda: None))
    until(lambda: len(one.wakeup) == 1)
    other.wakeup.dismiss("ada")
    thread.join(PATIENCE_SECONDS / 2)
    assert (found, len(one.wakeup)) == ([None], 0)


def test_a_claim_at_one_hears_of_the_room_that_a_result_at_the_other_made(
    pair: list[Master], postgres: Postgres
) -> None:
    secrets = {Role.ADMIN: add_key(pair[0], "test", Role.ADMIN)}
    sides = [Inside(master, Clock(), Housekeeping(master), secrets, []) for master in pair]
    here, there = (side.client() for side in sides)
    until(lambda: len(listeners(postgres)) >= 2)
    here.register("ada", replace(MACHINE, max_concurrent_jobs=1))
    here.submit(JOB)
    first = here.claim("ada", 0)
    assert first is not None
    waiting = here.submit(JOB).id
    thread, found = in_thread(lambda: sides[0].client().claim("ada", PATIENCE_SECONDS))
    until(lambda: len(pair[0].wakeup) == 1)
    time.sleep(0.2)  # its look finds that it is full
    there.finish(first.job_id, first.attempt, first.token, Outcome(State.COMPLETED))
    thread.join(PATIENCE_SECONDS / 2)
    assert [claim.job_id for claim in found] == [waiting]


def test_a_worker_never_holds_more_than_it_may(url: str) -> None:
    store = Store(url)
    workers.register(store, "ada", MACHINE)
    ids = [intake.submit(store, submission())[0].id for _ in range(12)]
    claim = partial(handing.claim, store, worker="ada", most=3, lease_seconds=60)
    with ThreadPoolExecutor(8) as pool:
        claims = [held for held in pool.map(claim, ids) if held is not None]
    assert len(claims) == 3
    store.close()


def test_a_job_goes_to_one_of_many_who_ask_at_once(url: str) -> None:
    store = Store(url)
    names = [f"worker{n}" for n in range(8)]
    for name in names:
        workers.register(store, name, MACHINE)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            job_id = intake.submit(store, submission())[0].id
            asking = [
                pool.submit(handing.claim, store, job_id, name, most=99, lease_seconds=60)
                for name in names
            ]
            held = [claim for claim in (future.result() for future in asking) if claim]
            assert len(held) == 1
            tell = partial(_finish, store, held[0])
            told = [future.result() for future in [pool.submit(tell) for _ in range(4)]]
            assert sum(told) == 1  # the effect of one, however often it is told
    store.close()


def _finish(store: Store, held: Claim) -> bool:
    outcome = Outcome(State.COMPLETED)
    number, token = held.attempt, held.token
    return (
        handing.finish(store, held.job_id, number, token=token, outcome=outcome, retry_seconds=5)
        is not None
    )


def test_a_job_sent_to_both_at_once_is_one_job(farm: Farm) -> None:
    clients = [farm.client(master.ready().url) for master in farm.masters] * 3
    with ThreadPoolExecutor(6) as pool:
        for count in range(10):
            sent = [pool.submit(client.submit, JOB, f"key{count}") for client in clients]
            assert len({future.result().id for future in sent}) == 1


def test_a_batch_sent_to_both_at_once_is_one_batch(farm: Farm) -> None:
    clients = [farm.client(master.ready().url) for master in farm.masters] * 3
    with ThreadPoolExecutor(6) as pool:
        for count in range(10):
            batch = [JOB] * 5
            sent = [pool.submit(client.submit_batch, batch, f"b{count}") for client in clients]
            found = {tuple(job.id for job in future.result()) for future in sent}
            assert len(found) == 1
            assert len(set(*found)) == 5


def test_a_transaction_that_gave_way_changed_nothing(url: str) -> None:
    store = Store(url)
    keys.create(store, "ann", Grant(Role.READ), "digest")
    with pytest.raises(Collision, match="duplicate key"), store.write() as connection:
        workers.register(store, "ada", MACHINE)  # a part of it
        connection.execute(update(keys_table).values(role="admin"))
        row = {"name": "bob", "role": "read", "hash": "digest", "created_at": 0.0}
        connection.execute(insert(keys_table), row)
    assert [(key.name, key.role) for key in keys.show_all(store)] == [("ann", Role.READ)]
    assert not workers.fleet(store, 60)
    store.close()


def test_leases_are_judged_once(url: str) -> None:
    clock = [1_700_000_000.0]
    store = Store(url, lambda: clock[0])
    workers.register(store, "ada", MACHINE)
    for _ in range(40):
        job_id = intake.submit(store, submission())[0].id
        assert handing.claim(store, job_id, "ada", most=99, lease_seconds=60)
    clock[0] += 61
    with ThreadPoolExecutor(4) as pool:
        rounds = [pool.submit(queue.expire, store, 60) for _ in range(8)]
        ended = [status.id for future in rounds for status, _ in future.result()]
    assert len(ended) == len(set(ended)) == 40
    store.close()


def test_after_an_outage_leases_are_renewed_once(url: str) -> None:
    clock = [1_700_000_000.0]
    store = Store(url, lambda: clock[0])
    attendance.attend(store, 10, 60)
    clock[0] += 100
    with ThreadPoolExecutor(4) as pool:
        absences = [pool.submit(attendance.attend, store, 10, 60) for _ in range(8)]
        assert sorted(future.result()[0] for future in absences) == [0.0] * 7 + [100.0]
    store.close()


#: A machine whose clock is two hours ahead, as far as Python's programs can see.
AHEAD = """
import time
true = time.time
time.time = lambda: true() + 7200
"""


class TestWrongClock:
    """One master's clock is wrong; the database's counts."""

    @pytest.fixture
    def environment(self, tmp_path: Path) -> dict[str, str]:
        (tmp_path / "ahead").mkdir()
        (tmp_path / "ahead/sitecustomize.py").write_text(AHEAD)
        path = its_environment()["PYTHONPATH"]
        return {"PYTHONPATH": f"{tmp_path}/ahead:{path}"}

    @pytest.fixture
    def settings(self) -> str:
        return "[leases]\nlease_seconds = 300\n"

    def test_it_ends_no_lease_and_offers_no_job_too_early(self, farm: Farm) -> None:
        right, wrong = (farm.client(master.ready().url) for master in farm.masters)
        right.register("ada", MACHINE)
        job_id = wrong.submit(JOB).id
        claim = right.claim("ada", 5)
        assert claim is not None and claim.job_id == job_id
        with farm.store.read():
            now = farm.store.now()
        # Both have looked at the leases since.
        until(lambda: farm.store.now() > now + 3)
        shown = wrong.job(job_id)
        assert (shown.state, shown.attempt) == (State.RUNNING, 1)
        assert abs(time.time() - _seconds(shown.created_at)) < 60


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


def test_without_the_database_it_is_503_and_later_well_again(
    farm: Farm, postgres: Postgres
) -> None:
    url = farm.masters[0].ready().url
    client = farm.client(url)
    job_id = client.submit(JOB).id
    postgres.stop()
    try:
        headers = {"Authorization": f"Bearer {farm.secret}"}
        answer = requests.get(f"{url}/jobs/{job_id}", headers=headers, timeout=10)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "does not answer" in answer.json()["detail"]
        assert requests.get(f"{url}/health", timeout=10).status_code == 503
        with pytest.raises(Unavailable):
            client.submit(JOB)
        farm.lose(1)
        late = farm.launch(1)  # it waits for the database
        until(lambda: "event=database_unreachable" in late.log)
    finally:
        postgres.start()
    assert client.job(job_id).id == job_id
    late.ready()
    assert farm.client(late.url).job(job_id).id == job_id


def test_a_query_that_waits_holds_up_nobody_else(farm: Farm) -> None:
    url = farm.masters[0].ready().url
    client = farm.client(url)
    job_id = client.submit(JOB).id
    with farm.store.write() as connection:
        get(connection, job_id)  # held, until this block ends
        thread, canceled = in_thread(lambda: farm.client(url).cancel(job_id))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with farm.store.read() as looking:
            until(lambda: looking.exec_driver_sql(waiting).scalar())
        # Less than PostgreSQL lets a statement wait.
        assert requests.get(f"{url}/health", timeout=15).json()["status"] == "ok"
        assert canceled == []
    thread.join(PATIENCE_SECONDS)
    assert [status.state for status in canceled] == [State.CANCELED]


def test_without_the_driver_it_says_which_package_to_install(tmp_path: Path) -> None:
    (tmp_path / "master.toml").write_text('database = "postgresql:///jobs"\n')
    missing = "raise ModuleNotFoundError('No module named psycopg2', name='psycopg2')\n"
    (tmp_path / "psycopg2.py").write_text(missing)
    listener = socket.create_server(("127.0.0.1", 0))
    path = its_environment()["PYTHONPATH"]
    process = start(tmp_path, listener, PYTHONPATH=f"{tmp_path}:{path}")
    assert process.wait(PATIENCE_SECONDS) == 78
    listener.close()
    assert "python3-psycopg2), which is not installed" in (tmp_path / "log").read_text()
