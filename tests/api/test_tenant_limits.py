"""What tenants may have, over HTTP: set by admins, held to, told, and waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import requests

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.model import (
    Claim,
    Heartbeat,
    Order,
    Outcome,
    Queue,
    Report,
    Result,
    Role,
    State,
    TenantLimits,
)
from ffmpeg_jobs.problems import Forbidden, NotFound, TenantForbids, TenantFull
from ffmpeg_master.store import keys, tenants
from tests.api.conftest import INSIDE, JOB, MACHINE, Inside, add_key, in_thread, until
from tests.api.test_tenants import client_of
from tests.conftest import ENGINES

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)

DONE = Outcome(State.COMPLETED)


@pytest.fixture
def studio(inside: Inside) -> MasterClient:
    """Who submits for a tenant; the workers ada and bob are there."""
    for name in ("ada", "bob"):
        inside.client().register(name, MACHINE)
    return client_of(inside, "studio-key", Role.SUBMIT, tenant="studio")


def limit(inside: Inside, **limits: Any) -> None:
    inside.client().set_tenant("studio", TenantLimits(**limits))


def claim(inside: Inside, worker: str = "ada", serial: int | None = None) -> Claim:
    held = inside.client().claim(worker, 0, serial)
    assert held is not None
    return held


def post(inside: Inside, secret: str, path: str, body: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {secret}"}
    return inside.session().post(INSIDE + path, headers=headers, json=body)


def test_an_admin_sets_shows_and_removes_them(inside: Inside, studio: MasterClient) -> None:
    admin, limits = inside.client(), TenantLimits(10, 2, 400, 60, (Queue.BATCH,), 6)
    assert admin.set_tenant("studio", limits).limits == limits
    studio.submit(JOB | {"queue": "batch"})
    status = admin.tenant("studio")
    assert (status.queued, status.running, status.limits) == (1, 0, limits)
    assert [one.name for one in admin.tenants()] == ["default", "studio"]
    assert admin.set_tenant("studio", TenantLimits(rate=6)).limits == TenantLimits(rate=6)
    admin.remove_tenant("studio")
    assert admin.tenant("studio").limits == TenantLimits()
    with pytest.raises(NotFound):
        admin.remove_tenant("studio")
    with pytest.raises(NotFound):
        admin.tenant("nobody")


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("studio", {"max_running": -1}, "max_running: -1 is not allowed; allowed is a whole"),
        ("studio", {"queues": []}, "queues: [] is not allowed; allowed is at least one of live"),
        (
            "studio",
            {"queues": ["slow"]},
            'queues[0]: "slow" is not allowed; allowed is one of live',
        ),
        ("studio", {"max_timeout_sec": 604801}, "seconds, 1 to 604800"),
        ("studio", {"max_jobs": 1}, "max_jobs: unknown field; allowed are max_queued"),
        (".studio", {}, "a tenant's name: letters, digits"),
    ],
)
def test_what_is_no_limit_is_refused(inside: Inside, name: str, body: Any, words: str) -> None:
    answer = inside.call("PUT", f"/tenants/{name}", json=body)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_a_full_queue_is_told_with_its_figures(inside: Inside, studio: MasterClient) -> None:
    limit(inside, max_queued=1)
    secret = add_key(inside.master, "more", Role.SUBMIT, tenant="studio")
    assert post(inside, secret, "/jobs/batch", {"jobs": [JOB, JOB]}).status_code == 429
    studio.submit(JOB)
    answer = post(inside, secret, "/jobs", JOB)
    assert answer.status_code == 429
    assert "Retry-After" not in answer.headers
    told = {"tenant": "studio", "limit": "max_queued", "queued": 1, "allowed": 1}
    assert told.items() <= answer.json().items()
    assert answer.json()["type"].endswith("tenant-full")
    inside.client(Role.SUBMIT).submit(JOB)  # of another tenant


def test_a_rate_says_when_to_come_again(inside: Inside, studio: MasterClient) -> None:
    limit(inside, rate=2)
    secret = add_key(inside.master, "more", Role.SUBMIT, tenant="studio")
    studio.submit_batch([JOB, JOB])
    answer = post(inside, secret, "/jobs", JOB)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    inside.clock.forward(30)
    assert post(inside, secret, "/jobs", JOB).status_code == 201
    answer = post(inside, secret, "/jobs/batch", {"jobs": [JOB] * 3})
    assert answer.status_code == 403
    assert "jobs: 3 is not allowed for the tenant studio; allowed is at most 2" in answer.text


def test_what_one_job_may_not_ask_names_field_value_and_what_is_allowed(
    inside: Inside, studio: MasterClient
) -> None:
    limit(inside, max_timeout_sec=60, max_cpu_percent=200, queues=(Queue.DEFAULT, Queue.BATCH))
    rows: list[tuple[dict[str, Any], str, str, str]] = [
        ({"queue": "live"}, "queue", '"live"', "default, batch"),
        ({"resource_limits": {"timeout_sec": 61}}, "resource_limits.timeout_sec", "61", "at most"),
        ({"resource_limits": {"max_cpu_percent": 201}}, "resource_limits.max", "201", "at most"),
    ]
    for body, field, value, allowed in rows:
        ways: list[tuple[Callable[[], Any], str]] = [
            (partial(studio.submit, JOB | body), ""),
            (partial(studio.submit_batch, [JOB, JOB | body]), "jobs[1]."),
        ]
        for submit, prefix in ways:
            with pytest.raises(TenantForbids) as problem:
                submit()
            (error,) = problem.value.members["errors"]
            assert error["field"].startswith(prefix + field)
            assert error["value"] == value
            assert error["allowed"].startswith(allowed)
            assert problem.value.status == 403
    assert list(studio.jobs()) == []
    assert studio.submit(JOB).job.resource_limits.timeout_sec == 60


def test_set_limits_and_retry_do_not_get_round_them(inside: Inside, studio: MasterClient) -> None:
    limit(inside, max_queued=1, max_timeout_sec=60)
    job_id = studio.submit(JOB).id
    for client in (studio, inside.client()):
        with pytest.raises(TenantForbids, match="timeout_sec: 61 is not allowed"):
            client.set_limits(job_id, {"timeout_sec": 61})
    studio.cancel(job_id)
    studio.submit(JOB)
    with pytest.raises(TenantFull):
        studio.retry(job_id)


def test_a_job_that_waits_for_its_tenant_says_so(inside: Inside, studio: MasterClient) -> None:
    limit(inside, max_running=1)
    first, last = studio.submit(JOB).id, studio.submit(JOB).id
    assert claim(inside).job_id == first
    assert studio.job(last).waiting_for == "room: tenant studio runs 1 of 1 jobs"
    assert inside.client().claim("bob", 0) is None
    limit(inside, max_cpu_percent=150)
    asked = "room: tenant studio uses 100 % of 150 % CPU, and this job asks 100 %"
    assert studio.job(last).waiting_for == asked


def tell(inside: Inside, held: Claim) -> None:
    inside.client().finish(held.job_id, held.attempt, held.token, DONE)


def tell_with_claim(inside: Inside, held: Claim) -> None:
    results = [Result(held.job_id, held.attempt, held.token, DONE)]
    # Cordoned: it takes none itself.
    inside.client().ask_worker("ada", "cordon")
    inside.client().claims("ada", 0, results=results)


def give_back(inside: Inside, held: Claim) -> None:
    inside.client().cancel(held.job_id)
    inside.client().release(held.job_id, held.attempt, held.token, "a whim")


def vanish(inside: Inside, _held: Claim) -> None:
    for _ in range(8):
        inside.clock.forward(8)
        inside.housekeeping._attend()  # the master was there all the time
    inside.housekeeping._expire()


def never_hear(inside: Inside, held: Claim) -> None:
    inside.client().cancel(held.job_id)
    inside.client().heartbeat("ada", Heartbeat(claim_serial=2))


def want_less(inside: Inside, held: Claim) -> None:
    inside.client().set_limits(held.job_id, {"max_cpu_percent": 50})


def raise_it(inside: Inside, _held: Claim) -> None:
    limit(inside, max_cpu_percent=200)


def remove_it(inside: Inside, _held: Claim) -> None:
    inside.client().remove_tenant("studio")


def raise_it_beside(inside: Inside, _held: Claim) -> None:
    """As the command does, in another process."""
    store = inside.master.store
    tenants.change(store, "studio", lambda before: replace(before, max_cpu_percent=200))
    inside.master.tenant_room.look()  # by the housekeeping, each second


@pytest.mark.parametrize(
    "end",
    [
        tell,
        tell_with_claim,
        give_back,
        vanish,
        never_hear,
        want_less,
        raise_it,
        remove_it,
        raise_it_beside,
    ],
)
def test_who_waits_looks_again_when_it_ends(
    inside: Inside, studio: MasterClient, end: Callable[[Inside, Claim], None]
) -> None:
    limit(inside, max_cpu_percent=150)
    studio.submit(JOB)
    held = claim(inside, serial=1)
    last = studio.submit(JOB | {"resource_limits": {"max_cpu_percent": 100}}).id
    thread, got = in_thread(lambda: inside.client().claim("bob", 25))
    until(lambda: any(one.tried_at >= 0 for one in inside.master.wakeup._waiters))
    time.sleep(0.1)  # it has looked, and found nothing
    end(inside, held)
    thread.join(15)  # the clock stands still: no round of the housekeeping's offers it
    assert [one.job_id for one in got] == [last]


def test_the_end_of_one_wakes_all_for_whom_there_is_room(
    inside: Inside, studio: MasterClient
) -> None:
    limit(inside, max_cpu_percent=300)
    studio.submit(JOB | {"resource_limits": {"max_cpu_percent": 300}})
    held = claim(inside)
    studio.submit_batch([JOB] * 3)
    names = ("bob", "cyd", "dan")
    for name in names:
        inside.client().register(name, MACHINE)
    waiting = [in_thread(partial(inside.client().claim, name, 25)) for name in names]
    until(lambda: sum(one.tried_at >= 0 for one in inside.master.wakeup._waiters) == 3)
    time.sleep(0.1)
    tell(inside, held)
    for thread, _ in waiting:
        thread.join(15)
    assert sum(one is not None for _, got in waiting for one in got) == 3


def test_a_worker_of_a_tenant_serves_it_alone(inside: Inside, studio: MasterClient) -> None:
    own = client_of(inside, "farm", Role.WORKER, tenant="studio", serves="studio")
    own.register("own", MACHINE)
    other = inside.client(Role.SUBMIT).submit(JOB | {"queue": "live"}).id
    assert own.claim("own", 0) is None
    assert inside.client().job(other).waiting_for == "room: 2 of 2 workers could run it"
    mine = studio.submit(JOB).id
    held = own.claim("own", 0)
    assert held is not None
    assert (held.job_id, held.tenant) == (mine, "studio")


def test_what_it_holds_of_others_it_speaks_no_more_for(
    inside: Inside, studio: MasterClient
) -> None:
    """Its key was for everybody; the one that takes its place is not."""
    client_of(inside, "farm", Role.WORKER).register("own", MACHINE)
    inside.client(Role.SUBMIT).submit(JOB)
    held = claim(inside, "own")
    own = client_of(
        inside, "farm-2", Role.WORKER, tenant="studio", serves="studio", replaces="farm"
    )
    own.register("own", MACHINE)
    what = held.job_id, held.attempt, held.token
    lost = own.heartbeat("own", Heartbeat((Report(*what),))).orders
    assert [order.order for order in lost] == [Order.LOST]
    tellings: list[Callable[[], None]] = [
        partial(own.finish, *what, DONE),
        partial(own.release, *what, "a whim"),
        partial(own.put_log, *what, b"log"),
    ]
    for tell_it in tellings:
        with pytest.raises(Forbidden, match="farm-2 serves the tenant studio alone"):
            tell_it()
    (refused,) = own.claims("own", 0, results=[Result(*what, DONE)]).refused
    assert refused.job_id == held.job_id
    assert inside.client().job(held.job_id).state is State.RUNNING


def figures(text: str) -> dict[str, float]:
    names = ("jobs_queued_total", "jobs_running", "jobs_total")
    lines = (line.split() for line in text.splitlines())
    return {line[0]: float(line[1]) for line in lines if line[0] in names}


def test_a_tenant_s_key_sees_its_own_figures_alone(inside: Inside, studio: MasterClient) -> None:
    inside.client(Role.SUBMIT).submit(JOB | {"queue": "live"})
    tell(inside, claim(inside))
    mine = studio.submit(JOB | {"group": "night"}).id
    inside.client(Role.SUBMIT).submit(JOB | {"group": "night"})
    inside.secrets[Role.READ] = add_key(inside.master, "look", Role.READ, tenant="studio")

    def see(path: str, role: Role | None) -> Any:
        answer = inside.call("GET", path, role)
        return figures(answer.text) if path == "/metrics" else answer.json()

    own = {"jobs_queued_total": 1.0, "jobs_running": 0.0, "jobs_total": 0.0}
    everybodys = {"jobs_queued_total": 2.0, "jobs_running": 0.0, "jobs_total": 1.0}
    assert see("/metrics", Role.READ) == own
    assert see("/metrics", Role.ADMIN) == see("/metrics", Role.MONITOR) == everybodys
    assert see("/health", Role.READ)["queued"] == 1
    assert see("/health", Role.MONITOR)["queued"] == see("/health", Role.ADMIN)["queued"] == 2
    for stranger in (None, Role.WORKER):
        assert {"queued", "running"}.isdisjoint(see("/health", stranger))
    assert (see("/jobs/counts", Role.READ)["jobs"], see("/jobs/counts", Role.ADMIN)["jobs"]) == (
        1,
        3,
    )
    assert (see("/groups/night", Role.READ)["jobs"], see("/groups/night", Role.ADMIN)["jobs"]) == (
        1,
        2,
    )
    assert [(job["id"], job["tenant"]) for job in see("/jobs", Role.READ)] == [(mine, "studio")]
    for path in ("/jobs", f"/jobs/{mine}", "/workers", "/tenants", "/audit"):
        assert inside.call("GET", path, Role.MONITOR).status_code == 403
    keys.revoke(inside.master.store, "look")
