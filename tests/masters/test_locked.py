"""What one master has locked stops the others for a while only."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from ffmpeg_jobs.model import Claim, Heartbeat, Order, Report, State
from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.store import attendance
from ffmpeg_master.store.jobs import get
from ffmpeg_master.store.tables import attempts, jobs
from tests.api.conftest import JOB, MACHINE, PATIENCE_SECONDS, in_thread, until
from tests.masters.conftest import Farm

#: A transaction that met another, and gave way.
GIVES_WAY = """
    CREATE FUNCTION gives_way() RETURNS trigger AS
        $$ BEGIN RAISE 'deadlock detected' USING ERRCODE = 'deadlock_detected'; END $$
        LANGUAGE plpgsql;
    CREATE TRIGGER gives_way BEFORE UPDATE ON attendance EXECUTE FUNCTION gives_way()
"""


def test_a_master_whose_start_met_another_begins_anew(farm: Farm) -> None:
    farm.masters[0].ready()
    farm.lose(1)
    with farm.store.write() as connection:
        connection.exec_driver_sql(GIVES_WAY)
    # Until the other's note is so old that a start writes it anew.
    until(lambda: attendance.absent_seconds(farm.store) > attendance.NOTE_SECONDS)
    late = farm.launch(1)
    until(lambda: "deadlock detected" in late.log)
    with farm.store.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER gives_way ON attendance")
    late.ready()


def test_what_a_master_that_stands_still_holds_is_free_again(farm: Farm) -> None:
    client = farm.client(farm.masters[0].ready().url)
    for name in ("ada", "bob"):
        client.register(name, MACHINE)
    client.submit(JOB)
    held = client.claim("ada", 0, serial=1)
    assert held is not None
    late = client.submit(JOB | {"queue": "batch"}).id
    lost = client.claim("bob", 0)
    assert lost is not None
    orders: list[Order] = []
    with pytest.raises(Unavailable), farm.store.write() as still:
        still.exec_driver_sql("SELECT noted_at FROM attendance FOR UPDATE")
        get(still, held.job_id)
        farm.store.hold(still, "ada")
        # All goes on before a statement that waits gives up.
        report = Report(held.job_id, held.attempt, held.token)
        answer = client.heartbeat("ada", Heartbeat((report,), claim_serial=1))
        orders += [order.order for order in answer.orders]
        still.exec_driver_sql("SELECT 1")
    assert orders == [Order.CONTINUE]
    client.submit(JOB)
    assert client.claim("ada", 0, serial=2) is not None
    update_lease = update(jobs).where(jobs.c.id == late).values(lease_until=0.0)
    with farm.store.write() as connection:
        connection.execute(update_lease)
    until(lambda: client.job(late).state is State.QUEUED)


def test_a_heartbeat_and_who_locks_the_same_jobs_pass_each_other(farm: Farm) -> None:
    client = farm.client(farm.masters[0].ready().url)
    client.register("ada", MACHINE)
    low, high = sorted(client.submit_batch([JOB] * 2), key=lambda job: job.id)
    claims: dict[str, Claim] = {}
    for serial in (1, 2):
        held = client.claim("ada", 5, serial)
        assert held is not None
        claims[held.job_id] = held
    # The claim of the lower id is the one whose answer was lost.
    with farm.store.write() as connection:
        of = update(attempts).where(attempts.c.job_id == high.id)
        connection.execute(of.values(claim_serial=3))
    reports = (Report(high.id, 1, claims[high.id].token),)
    with farm.store.write() as connection:
        connection.exec_driver_sql("SET LOCAL deadlock_timeout = '10ms'")
        get(connection, low.id)
        thread, _ = in_thread(lambda: client.heartbeat("ada", Heartbeat(reports, claim_serial=3)))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with farm.store.read() as looking:
            until(lambda: looking.exec_driver_sql(waiting).scalar())
        get(connection, high.id)  # one of the two would have to give way
    thread.join(PATIENCE_SECONDS)
    assert client.job(low.id).state is State.QUEUED
