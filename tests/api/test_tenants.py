"""A key sees and does what is its own: its tenant's jobs, its worker's name, until it expires."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import requests
from sqlalchemy import event

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import Claim, Heartbeat, Order, Outcome, Report, Result, Role, State
from ffmpeg_jobs.problems import Forbidden, NotFound, Unauthorized
from ffmpeg_master import guard, refusals
from ffmpeg_master.api.routes import ROUTES
from ffmpeg_master.store import keys
from tests.api.conftest import INSIDE, JOB, MACHINE, Inside, add_key

STRANGER = "/jobs/aaaaaaaaaaaa"


def client_of(inside: Inside, name: str, role: Role, **more: Any) -> MasterClient:
    secret = add_key(inside.master, name, role, **more)
    return MasterClient(Endpoint(INSIDE, secret), inside.session())


def get(inside: Inside, secret: str, path: str = "/jobs", **headers: str) -> requests.Response:
    headers["Authorization"] = f"Bearer {secret}"
    return inside.session().get(INSIDE + path, headers=headers)


def test_others_jobs_are_not_there(inside: Inside) -> None:
    secret = add_key(inside.master, "eve", Role.SUBMIT, tenant="eve")
    mine = inside.client(Role.SUBMIT).submit(JOB).id
    bodies = {"/jobs/{job_id}/limits": {"max_cpu_percent": 50}}
    for route in ROUTES:
        if "{job_id}" not in route.path or route.role not in (Role.READ, Role.SUBMIT):
            continue
        for job_id in (mine, STRANGER[-12:]):
            answer = inside.session().request(
                route.method,
                INSIDE + route.path.format(job_id=job_id),
                headers={"Authorization": f"Bearer {secret}"},
                json=bodies.get(route.path),
            )
            assert answer.status_code == 404, route.path
            assert answer.json()["detail"] == f"there is no job {job_id}"


def test_a_tenant_lists_its_own_and_an_admin_all(inside: Inside) -> None:
    ours, theirs = (client_of(inside, name, Role.SUBMIT, tenant=name) for name in ("ann", "bob"))
    ann, bob = ours.submit(JOB).id, theirs.submit(JOB).id
    assert [job.id for job in ours.jobs()] == [ann]
    assert [job.id for job in theirs.jobs(state="queued")] == [bob]
    assert [job.id for job in inside.client().jobs()] == [bob, ann]
    assert ours.job(ann).id == ann
    with pytest.raises(NotFound):
        ours.cancel(bob)
    inside.client().cancel(bob)


def test_workers_serve_all_and_show_each_tenant_its_own(inside: Inside) -> None:
    ann = client_of(inside, "ann", Role.SUBMIT, tenant="ann")
    worker = inside.client(Role.WORKER)
    worker.register("ada", MACHINE)
    job_id = ann.submit(JOB).id
    held = worker.claim("ada", 0)
    assert held is not None
    assert held.job_id == job_id
    assert ann.workers()[0].running == (job_id,)
    assert inside.client(Role.SUBMIT).workers()[0].running == ()
    assert inside.client().workers()[0].running == (job_id,)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
def test_idempotency_keys_are_each_tenants_own(inside: Inside) -> None:
    clients = [client_of(inside, name, Role.SUBMIT, tenant=name) for name in ("ann", "bob")]
    clients.append(inside.client(Role.SUBMIT))
    first = [client.submit(JOB, "k" * 255).id for client in clients]
    again = [client.submit(JOB, "k" * 255).id for client in clients]
    assert first == again
    assert len(set(first)) == 3


def test_a_workers_key_acts_as_that_worker_alone(inside: Inside) -> None:
    ada = client_of(inside, "ada-key", Role.WORKER, worker="ada")
    ada.register("ada", MACHINE)
    assert ada.claim("ada", 0) is None
    refusal = "is the worker ada's; it cannot act as bob"
    with pytest.raises(Forbidden, match=refusal):
        ada.register("bob", MACHINE)
    with pytest.raises(Forbidden, match=refusal):
        ada.claim("bob", 0)


@pytest.fixture
def bob(inside: Inside) -> tuple[MasterClient, Claim]:
    """A worker whose key is bound to no name, and a job that it runs."""
    bob = client_of(inside, "bob-1", Role.WORKER)
    bob.register("bob", MACHINE)
    inside.client().submit(JOB)
    held = bob.claim("bob", 0, serial=1)
    assert held is not None
    return bob, held


def test_a_worker_s_name_is_the_key_s_that_registered_it(
    inside: Inside, bob: tuple[MasterClient, Claim]
) -> None:
    eve = client_of(inside, "eve", Role.WORKER)
    eve.register("eve", MACHINE)
    refusal = "the worker's name bob is the key bob-1's, not the key eve's"
    with pytest.raises(Forbidden, match=refusal):
        eve.heartbeat("bob", Heartbeat(claim_serial=2**40))
    with pytest.raises(Forbidden, match=refusal):
        eve.register("bob", replace(MACHINE, cpus=1))
    with pytest.raises(Forbidden, match=refusal):
        eve.claim("bob", 0)
    client, held = bob
    assert inside.client().job(held.job_id).state is State.RUNNING
    assert inside.client().workers()[0].machine == MACHINE
    client.heartbeat("bob", Heartbeat((Report(held.job_id, 1, held.token),)))
    inside.client().heartbeat("bob", Heartbeat())  # an admin may, and does not become its owner
    client.finish(held.job_id, 1, held.token, Outcome(State.COMPLETED))


@pytest.mark.parametrize("bound", ["eve", None])
def test_a_worker_s_key_ends_no_attempt_of_another_s(
    inside: Inside, bob: tuple[MasterClient, Claim], bound: str | None
) -> None:
    client, held = bob
    eve = client_of(inside, "eve", Role.WORKER, worker=bound)
    eve.register("eve", MACHINE)
    what = held.job_id, held.attempt, held.token  # however it came by the token
    lost = eve.heartbeat("eve", Heartbeat((Report(*what),))).orders
    assert [order.order for order in lost] == [Order.LOST]
    with pytest.raises(Forbidden, match="bob"):
        eve.finish(*what, Outcome(State.COMPLETED))
    with pytest.raises(Forbidden, match="bob"):
        eve.release(*what, "a whim")
    with pytest.raises(Forbidden, match="bob"):
        eve.put_log(*what, b"forged")
    done = Result(*what, Outcome(State.COMPLETED))
    (refused,) = eve.claims("eve", 0, results=[done]).refused
    assert (refused.job_id, refused.attempt) == what[:2]
    assert inside.client().job(held.job_id).state is State.RUNNING
    assert client.claims("bob", 0, results=[done]).refused == ()
    assert inside.client().job(held.job_id).state is State.COMPLETED


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
def test_a_worker_s_key_is_rotated_without_a_gap(
    inside: Inside, bob: tuple[MasterClient, Claim]
) -> None:
    old, held = bob
    report = Heartbeat((Report(held.job_id, 1, held.token),))
    for name, grant in (("bob-2", {"replaces": "bob-1"}), ("bob-3", {"worker": "bob"})):
        new = client_of(inside, name, Role.WORKER, **grant)
        old.heartbeat("bob", report)  # until the new one is used
        new.register("bob", MACHINE)
        assert [o.order for o in new.heartbeat("bob", report).orders] == [Order.CONTINUE]
        with pytest.raises(Forbidden):
            old.heartbeat("bob", report)
        old = new
    new.finish(held.job_id, 1, held.token, Outcome(State.COMPLETED))


def test_a_name_is_free_when_its_key_ends_or_its_worker_is_removed(inside: Inside) -> None:
    end = inside.clock.seconds + 60
    first = client_of(inside, "first", Role.WORKER, expires_at_seconds=end)
    second, third, fourth = (client_of(inside, f"key-{n}", Role.WORKER) for n in (2, 3, 4))
    first.register("ada", MACHINE)
    with pytest.raises(Forbidden):
        second.register("ada", MACHINE)
    inside.clock.forward(61)
    second.register("ada", MACHINE)
    keys.revoke(inside.master.store, "key-2")
    third.register("ada", MACHINE)
    with pytest.raises(Forbidden):
        fourth.register("ada", MACHINE)
    inside.clock.forward(3600)
    inside.client().remove_worker("ada")
    fourth.register("ada", MACHINE)


def test_a_worker_of_no_key_yet_is_that_of_who_speaks_for_it_first(inside: Inside) -> None:
    inside.client().register("ada", MACHINE)  # an admin, or a master before names had owners
    inside.client(Role.WORKER).heartbeat("ada", Heartbeat())
    with pytest.raises(Forbidden):
        client_of(inside, "eve", Role.WORKER).heartbeat("ada", Heartbeat())


def test_an_expired_key_says_so(inside: Inside) -> None:
    end = inside.clock.seconds + 60
    client = client_of(inside, "short", Role.READ, expires_at_seconds=end)
    assert list(client.jobs()) == []
    inside.clock.forward(61)
    inside.master.gate._cache.clear()  # two seconds later
    with pytest.raises(Unauthorized, match="the API key short expired at 2023-11-14T22:14:20"):
        list(client.jobs())


def test_the_last_use_is_noted(inside: Inside) -> None:
    def used() -> float | None:
        rows = {key.name: key for key in keys.show_all(inside.master.store)}
        return rows["read"].last_used_at_seconds

    assert used() is None
    inside.call("GET", "/jobs", Role.READ)
    assert used() == inside.clock.seconds


def test_who_guesses_waits_and_nobody_else_does(inside: Inside) -> None:
    config = inside.master.config
    object.__setattr__(config, "trusted_proxies", ("unix",))  # as this transport seems
    good = inside.secrets[Role.READ]
    assert get(inside, good, **{"X-Forwarded-For": "192.0.2.1"}).status_code == 200
    tries = [
        get(inside, f"guess{n}", **{"X-Forwarded-For": "6.6.6.6, 192.0.2.1"})
        for n in range(guard.FAILURES_MOST + 1)
    ]
    assert [answer.status_code for answer in tries] == [401] * guard.FAILURES_MOST + [429]
    assert 0 < int(tries[-1].headers["Retry-After"]) <= guard.FAILURE_SECONDS
    inside.master.gate._cache.clear()  # and who was not here before
    asked: list[str] = []
    event.listen(inside.master.store._engine, "begin", lambda _: asked.append("transaction"))
    for number in range(20):
        again = get(inside, f"more{number}", **{"X-Forwarded-For": "192.0.2.1"})
        assert again.status_code == 429
    assert len(asked) <= 1  # in two seconds, however often it guesses
    for address in ("192.0.2.1", "192.0.2.2"):  # its own neighbour, and another's
        assert get(inside, good, **{"X-Forwarded-For": address}).status_code == 200
    other = get(inside, "guess", **{"X-Forwarded-For": "192.0.2.2"})
    assert other.status_code == 401
    told = [row["address"] for row in inside.log if row["event"] == "request_refused"]
    assert told == ["192.0.2.1"] * refusals.LINES_MOST + ["192.0.2.2"]
