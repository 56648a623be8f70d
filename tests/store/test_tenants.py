"""Limits of tenants: nothing gets round them, and who has none pays nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import insert, inspect

from ffmpeg_jobs.model import Claim, Job, Limits, Machine, Outcome, Queue, Role, State, TenantLimits
from ffmpeg_jobs.problems import NotFound, TenantForbids, TenantFull
from ffmpeg_master import choosing, scheduling
from ffmpeg_master.config import Config, read
from ffmpeg_master.model import Grant
from ffmpeg_master.store import claims, intake, jobs, keys, queue, schema, tenants, wishes, workers
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.retry import retry
from ffmpeg_master.store.tables import keys as keys_table
from tests import handing
from tests.store.conftest import Clock
from tests.store.test_young import FEW, MANY, effort

FAILED = Outcome(State.FAILED, None, "as told")


@pytest.fixture
def config() -> Config:
    return read(None, {}, {})


def asking(tenant: str = "studio", **job: Any) -> intake.Submission:
    asked = Job(**job)
    needs, rank = scheduling.needs(asked), scheduling.rank(asked)
    line = scheduling.line(rank, f"{tenant}-key", needs)
    return intake.Submission(
        asked, needs, rank, "digest", tenant=tenant, submitter=f"{tenant}-key", line=line
    )


def submit(store: Store, tenant: str = "studio", **job: Any) -> str:
    return intake.submit(store, asking(tenant, **job))[0].id


def limit(store: Store, tenant: str = "studio", **limits: Any) -> None:
    tenants.change(store, tenant, lambda before: replace(before, **limits))


def cpu(percent: int) -> dict[str, Any]:
    return {"resource_limits": Limits(max_cpu_percent=percent)}


def claim(store: Store, config: Config, worker: str = "ada", most: int = 1) -> tuple[Claim, ...]:
    asked = claims.Asked(worker, 60, 5, most)
    return claims.claim(store, asked, choosing.choices(store, config, worker, most)).claims


def finish(store: Store, held: Claim, outcome: Outcome = FAILED) -> None:
    handing.finish(
        store, held.job_id, held.attempt, token=held.token, outcome=outcome, retry_seconds=0
    )


def at_once(count: int, work: Callable[[], Any]) -> list[Any]:
    """What came of ``work``, done by so many at the same time; a refusal is what came of it."""
    ready, results = threading.Barrier(count), list[Any]()

    def one() -> None:
        ready.wait()
        try:
            results.append(work())
        except (TenantFull, TenantForbids) as refusal:
            results.append(refusal)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == count
    return results


def test_the_queue_is_bounded_alone_and_in_batches(store: Store) -> None:
    limit(store, max_queued=3)
    submit(store)
    with pytest.raises(TenantFull, match="studio has 1 of 3 jobs in the queue; 3 jobs more are"):
        intake.submit_batch(store, [replace(asking(), place=n) for n in range(3)])
    intake.submit_batch(store, [replace(asking(), place=n) for n in range(2)])
    with pytest.raises(
        TenantFull, match="3 of 3 jobs in the queue; a job more is too many"
    ) as full:
        submit(store)
    assert full.value.members == {
        "tenant": "studio",
        "limit": "max_queued",
        "queued": 3,
        "allowed": 3,
    }
    submit(store, "others")
    assert jobs.counts(store, "studio") == (3, 0)


def test_two_that_come_at_once_do_not_both_get_the_last_place(store: Store) -> None:
    limit(store, max_queued=3)
    results = at_once(6, lambda: submit(store))
    assert sum(isinstance(result, str) for result in results) == 3
    assert jobs.counts(store, "studio") == (3, 0)


def test_a_rate_holds_for_those_who_come_at_once(store: Store, clock: Clock) -> None:
    limit(store, rate=4)
    results = at_once(8, lambda: submit(store))
    assert sum(isinstance(result, str) for result in results) == 4
    clock.forward(15)
    submit(store)
    with pytest.raises(TenantFull, match="try again in 15 s"):
        submit(store)


def test_a_repeat_of_what_was_accepted_is_no_second_job(store: Store) -> None:
    limit(store, max_queued=1, rate=1)
    once = replace(asking(), idempotency_key="k")
    first = intake.submit(store, once)[0].id
    limit(store, queues=(Queue.LIVE,))
    assert intake.submit(store, once) == (jobs.show(store, first), False)


def test_what_is_accepted_says_what_it_got(store: Store) -> None:
    limit(store, max_timeout_sec=60, max_cpu_percent=400)
    status = jobs.show(store, submit(store))
    assert status.job.resource_limits == Limits(max_cpu_percent=100, timeout_sec=60)
    assert status.tenant == "studio"
    (waiting,) = handing.waiting(store)
    assert waiting.needs.cpu_percent == 100


def test_a_retry_is_a_job_more(store: Store, config: Config) -> None:
    job_id = submit(store, queue=Queue.BATCH)
    (held,) = claim(store, config)
    finish(store, held)
    limit(store, max_queued=1)
    submit(store)
    with pytest.raises(TenantFull, match="1 of 1 jobs in the queue"):
        retry(store, job_id)
    limit(store, max_queued=None, queues=(Queue.LIVE, Queue.DEFAULT))
    with pytest.raises(TenantForbids, match='queue: "batch" is not allowed'):
        retry(store, job_id)
    limit(store, queues=None, rate=1)
    queue.cancel(store, retry(store, job_id).id)
    with pytest.raises(TenantFull, match="1 jobs a minute"):
        retry(store, job_id)


def test_a_retried_job_gets_what_a_new_one_would(store: Store, config: Config) -> None:
    job_id = submit(store)
    (held,) = claim(store, config)
    finish(store, held)
    limit(store, max_timeout_sec=60, max_cpu_percent=50)
    assert retry(store, job_id).job.resource_limits == Limits(50, timeout_sec=60)
    (waiting,) = handing.waiting(store)
    assert waiting.needs.cpu_percent == 50


def test_changed_limits_stay_within(store: Store, config: Config) -> None:
    limit(store, max_timeout_sec=60, max_cpu_percent=300)
    job_id = submit(store)
    for field, value in (("timeout_sec", 61), ("max_cpu_percent", 301)):
        with pytest.raises(TenantForbids, match=f"{field}: {value} is not allowed"):
            wishes.set_limits(store, job_id, {field: value})
    assert wishes.set_limits(store, job_id, {"max_cpu_percent": 300})[1]
    assert wishes.set_limits(store, job_id, {"max_cpu_percent": 200})[1]
    submit(store)
    assert len(claim(store, config, most=2)) == 2
    with pytest.raises(
        TenantFull, match="other running jobs of the tenant studio have 100 % of 300"
    ):
        wishes.set_limits(store, job_id, {"max_cpu_percent": 201})
    assert wishes.set_limits(store, job_id, {"max_cpu_percent": 150})[1]


def test_a_tenant_at_its_limit_is_passed_by_and_blocks_nobody(store: Store, config: Config) -> None:
    limit(store, max_running=1)
    first, second = submit(store), submit(store, queue=Queue.LIVE)
    other = submit(store, "others", queue=Queue.BATCH)
    assert [held.job_id for held in claim(store, config, most=3)] == [second, other]
    assert claim(store, config, "bob") == ()
    asked = scheduling.needs(Job())
    assert tenants.holds_back(store, "studio", asked) == "room: tenant studio runs 1 of 1 jobs"
    assert tenants.holds_back(store, "others", asked) is None
    limit(store, max_running=2)
    assert [held.job_id for held in claim(store, config, "bob")] == [first]


def test_cpu_is_shared_by_what_each_asks(store: Store, config: Config) -> None:
    before = submit(store)  # it asks nothing, and counts as one core
    limit(store, max_cpu_percent=250)
    large, small = submit(store, **cpu(200)), submit(store, **cpu(120))
    got = claim(store, config, most=2)
    assert [held.job_id for held in got] == [before, small]  # who does not fit is passed
    asks = scheduling.needs(Job(**cpu(200)))
    words = "room: tenant studio uses 220 % of 250 % CPU, and this job asks 200 %"
    assert tenants.holds_back(store, "studio", asks) == words
    for held in got:
        finish(store, held)
    assert [held.job_id for held in claim(store, config, most=2)] == [large]


@pytest.mark.parametrize("limits", [{"max_running": 2}, {"max_cpu_percent": 200}])
def test_claims_at_once_do_not_get_more_than_there_is(
    store: Store, config: Config, limits: dict[str, Any]
) -> None:
    names = [f"worker-{number}" for number in range(4)]
    for name in names:
        workers.register(store, name, Machine(4, 8192, 1000, max_concurrent_jobs=2))
    limit(store, **limits)
    for _ in range(6):
        submit(store)
    left = iter(names)
    got = at_once(4, lambda: claim(store, config, next(left), 2))
    assert sum(len(held) for held in got) == 2
    assert jobs.counts(store, "studio") == (4, 2)


def test_claims_cost_the_same_however_many_are_held_back(store: Store, config: Config) -> None:
    limit(store, max_running=1)
    for _ in range(FEW):
        submit(store)
    assert len(claim(store, config)) == 1
    with effort(store) as cost:
        assert claim(store, config) == ()
        few = cost()
    intake.submit_batch(store, [replace(asking(), place=n) for n in range(MANY)])
    with effort(store) as cost:
        assert claim(store, config) == ()
        many = cost()
    assert many < 2 * few + 100, (few, many)


def test_cpu_that_is_not_there_costs_the_same_however_many_ask(
    store: Store, config: Config
) -> None:
    limit(store, max_cpu_percent=350)
    ask = [replace(asking(**cpu(200)), place=n) for n in range(MANY)]
    intake.submit_batch(store, ask[:FEW])
    assert len(claim(store, config, most=2)) == 1
    with effort(store) as cost:
        assert claim(store, config) == ()
        few = cost()
    intake.submit_batch(store, ask)
    with effort(store) as cost:
        assert claim(store, config) == ()
        many = cost()
    assert many < 2 * few + 100, (few, many)


def test_a_worker_of_a_tenant_gets_its_jobs_alone(store: Store, config: Config) -> None:
    keys.create(store, "studio-farm", Grant(Role.WORKER, "studio", serves="studio"), "digest")
    key = keys.find(store, "digest")
    workers.register(store, "own", Machine(4, 8192, 1000, max_concurrent_jobs=4), key)
    submit(store, "others", queue=Queue.LIVE)
    mine = submit(store)
    assert [held.job_id for held in claim(store, config, "own", 4)] == [mine]
    assert {member.name: member.serves for member in workers.fleet(store, 60)} == {
        "ada": None,
        "bob": None,
        "own": "studio",
    }


def test_a_job_goes_back_where_it_failed_if_the_others_serve_another(
    store: Store, config: Config
) -> None:
    with store.write() as connection:
        connection.exec_driver_sql("DELETE FROM workers WHERE name = 'bob'")
    keys.create(store, "studio-farm", Grant(Role.WORKER, "studio", serves="studio"), "digest")
    workers.register(
        store, "own", Machine(4, 8192, 1000, max_concurrent_jobs=4), keys.find(store, "digest")
    )
    job_id = submit(store, "others")
    (held,) = claim(store, config)
    finish(store, held)
    retry(store, job_id)
    assert [held.job_id for held in claim(store, config)] == [job_id]


def test_worker_s_keys_of_before_serve_the_tenant_that_was_named(store: Store) -> None:
    def key(name: str, role: Role, tenant: str) -> None:
        values = {"name": name, "role": role.value, "tenant": tenant, "hash": name}
        with store.write() as connection:
            connection.execute(insert(keys_table).values(created_at=0.0, **values))

    for name, role, tenant in (
        ("farm", Role.WORKER, "default"),
        ("studio-farm", Role.WORKER, "studio"),
        ("ann", Role.SUBMIT, "studio"),
    ):
        key(name, role, tenant)
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    with store.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0021")
        assert not {"tenants"} & set(inspect(connection).get_table_names())
    schema.migrate(store)
    served = {one.name: one.grant.serves for one in keys.show_all(store)}
    assert served == {"ann": None, "farm": None, "studio-farm": "studio"}
    limit(store, max_queued=0)
    with pytest.raises(TenantFull):
        submit(store)


def test_tenants_are_shown_with_what_they_have(store: Store, config: Config) -> None:
    limit(store, max_running=3, queues=(Queue.DEFAULT,))
    submit(store)
    submit(store, **cpu(150))
    claim(store, config)
    submit(store, "others")
    shown = {status.name: status for status in tenants.show_all(store)}
    assert set(shown) == {"others", "studio"}
    studio = shown["studio"]
    assert (studio.queued, studio.running) == (1, 1)
    assert studio.cpu_percent in (100, 150)
    assert studio.limits == TenantLimits(max_running=3, queues=(Queue.DEFAULT,))
    tenants.remove(store, "studio")
    assert tenants.show(store, "studio").limits == TenantLimits()
    with pytest.raises(NotFound, match="the tenant studio has no limits"):
        tenants.remove(store, "studio")
    with pytest.raises(NotFound, match="there is no tenant nobody"):
        tenants.show(store, "nobody")
