"""The audit log: who did what to which job, worker, key or tenant, and from where."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import structlog

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.model import Action, Queue, Role, TenantLimits
from ffmpeg_jobs.problems import Conflict, Forbidden
from ffmpeg_master import config, keys_command
from ffmpeg_master.api.routes import ROUTES
from tests.api.conftest import JOB, MACHINE, PATIENCE_SECONDS, Inside, Launch, command

Does = Callable[[MasterClient], Any]


def running(client: MasterClient) -> str:
    client.register("ada", MACHINE)
    client.submit(JOB)
    claim = client.claim("ada", 0)
    assert claim is not None
    return claim.job_id


def limited(client: MasterClient, name: str) -> None:
    client.set_tenant(name, TenantLimits(max_running=2, queues=(Queue.BATCH,)))


def removed(client: MasterClient, name: str) -> None:
    limited(client, name)
    client.remove_tenant(name)


#: What is done, as the last thing, for each action that has a route.
DONE: dict[Action, Does] = {
    Action.JOB_SUBMITTED: lambda client: client.submit(JOB),
    Action.JOB_CANCELED: lambda client: client.cancel(client.submit(JOB).id),
    Action.JOB_RETRIED: lambda client: client.retry(client.cancel(client.submit(JOB).id).id),
    Action.JOB_LIMITS_CHANGED: lambda client: client.set_limits(
        client.submit(JOB).id, {"max_memory_mb": 512}
    ),
    Action.JOB_PAUSED: lambda client: client.pause(running(client)),
    Action.JOB_RESUMED: lambda client: client.resume(client.pause(running(client)).id),
    Action.WORKER_CORDONED: lambda client: client.ask_worker("bob", "cordon"),
    Action.WORKER_UNCORDONED: lambda client: client.ask_worker("bob", "uncordon"),
    Action.WORKER_DRAINED: lambda client: client.drain("bob", 600),
    Action.WORKER_UNDRAINED: lambda client: client.ask_worker("bob", "undrain"),
    Action.WORKER_REMOVED: lambda client: client.remove_worker("bob"),
    Action.TENANT_LIMITED: lambda client: limited(client, "bob"),
    Action.TENANT_REMOVED: lambda client: removed(client, "bob"),
}
DETAILS = {
    Action.JOB_LIMITS_CHANGED: {"max_memory_mb": 512},
    Action.WORKER_DRAINED: {"timeout_seconds": 600},
    Action.TENANT_LIMITED: {"max_running": 2, "queues": ["batch"]},
}


def test_all_that_people_may_change_is_in_the_log() -> None:
    changes = [r for r in ROUTES if r.method != "GET" and r.role in (Role.SUBMIT, Role.ADMIN)]
    assert {route.path for route in changes if route.audited is None} == set()
    assert {route.audited for route in ROUTES if route.audited} == set(DONE)


@pytest.mark.parametrize("action", DONE)
def test_who_did_it_and_from_where(inside: Inside, action: Action) -> None:
    client = inside.client()
    client.register("bob", MACHINE)
    inside.clock.forward(1000)  # it is not heard any more
    made = DONE[action](client)
    entry = next(iter(client.audit(1)))
    subject = "bob" if made is None else made.id
    assert (entry.action, entry.kind, entry.subject) == (action, action.kind, subject)
    assert (entry.who, entry.role, entry.tenant) == ("admin", "admin", "default")
    assert entry.address == "unix"  # there is no network in between
    assert entry.at == "2023-11-14T22:30:00.000Z"
    assert entry.detail == DETAILS.get(action, {})


def test_each_job_of_a_batch_is_there(inside: Inside) -> None:
    jobs = inside.client(Role.SUBMIT).submit_batch([JOB, JOB])
    entries = list(inside.client().audit())
    assert [(entry.subject, entry.who) for entry in entries] == [
        (job.id, "submit") for job in reversed(jobs)
    ]


def test_what_changed_nothing_is_not_there(inside: Inside) -> None:
    client = inside.client()
    job = client.submit(JOB, "once").id
    client.submit(JOB, "once")
    client.submit_batch([JOB], "twice")
    client.submit_batch([JOB], "twice")
    client.cancel(job)
    client.cancel(job)
    with pytest.raises(Conflict):
        client.pause(job)
    actions = [entry.action for entry in client.audit(job=job)]
    assert actions == [Action.JOB_CANCELED, Action.JOB_SUBMITTED]
    assert len(list(client.audit())) == 3


def test_it_is_filtered(inside: Inside) -> None:
    client, other = inside.client(), inside.client(Role.SUBMIT)
    first = client.submit(JOB).id
    client.register("ada", MACHINE)
    inside.clock.forward(100)
    other.cancel(first)
    client.ask_worker("ada", "cordon")
    moment = "2023-11-14T22:14:00Z"  # 40 s after the first two

    def found(**filters: str) -> list[str]:
        return [entry.action.value for entry in client.audit(None, **filters)]

    assert found(job=first) == ["job_canceled", "job_submitted"]
    assert found(worker="ada") == found(action="worker_cordoned") == ["worker_cordoned"]
    assert found(who="submit") == ["job_canceled"]
    assert found(since=moment) == ["worker_cordoned", "job_canceled"]
    assert found(until=moment) == ["job_submitted"]
    assert found(key="nobody") == []


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("since=yesterday", "since"),
        ("since=2027-02-31T00:00:00Z", "since"),
        ("action=looked", "action"),
        ("job=1", "job"),
        ("limit=0", "limit"),
        ("job=abcdefghijkl&worker=ada", "one of the two"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(inside: Inside, query: str, says: str) -> None:
    answer = inside.call("GET", f"/audit?{query}")
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


def test_pages_lead_to_each_other(inside: Inside) -> None:
    client = inside.client()
    ids = [client.submit(JOB).id for _ in range(5)]
    answer = inside.call("GET", "/audit?limit=2&action=job_submitted")
    assert [entry["subject"] for entry in answer.json()] == [ids[4], ids[3]]
    following = inside.call("GET", answer.links["next"]["url"])
    assert [entry["subject"] for entry in following.json()] == [ids[2], ids[1]]
    assert "action=job_submitted" in following.links["next"]["url"]
    assert "next" not in inside.call("GET", following.links["next"]["url"]).links
    assert [entry.subject for entry in client.audit(3)] == [ids[4], ids[3], ids[2]]


def test_only_admins_read_it(inside: Inside) -> None:
    with pytest.raises(Forbidden):
        list(inside.client(Role.SUBMIT).audit())


def test_it_outlasts_the_job_but_not_its_time(inside: Inside) -> None:
    client = inside.client()
    job = client.submit(JOB).id
    client.cancel(job)
    inside.clock.forward(31 * 86400)
    inside.housekeeping.round()
    assert inside.call("GET", f"/jobs/{job}").status_code == 404
    assert len(list(client.audit(job=job))) == 2
    inside.clock.forward(60 * 86400)
    inside.housekeeping.round()
    assert list(client.audit()) == []


def test_keys_are_made_by_an_account_of_the_machine(launch: Launch) -> None:
    master = launch().ready()
    made = command(master.directory, "keys", "create", "--name", "ann", "--role", "read")
    assert command(master.directory, "keys", "revoke", "ann").returncode == 0
    revoked, created = master.client().audit(key="ann")
    assert (revoked.action, revoked.subject) == (Action.KEY_REVOKED, "ann")
    assert (revoked.who, revoked.role, revoked.address) == (getpass.getuser(), None, None)
    assert (created.action, created.detail) == (
        Action.KEY_CREATED,
        {"role": "read", "tenant": "default"},
    )
    assert made.stdout.strip() not in str(created)


def test_the_journal_says_the_same_of_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = config.read(None, {"database": f"sqlite:///{tmp_path}/master.db"}, {})
    parser = argparse.ArgumentParser()
    keys_command.add_parser(parser.add_subparsers())
    create = ["keys", "create", "--name", "ada", "--role", "worker", "--worker", "ada-1"]
    refused = ["keys", "revoke", "eve"]
    with structlog.testing.capture_logs() as log:
        for words in (create, create, refused, ["keys", "revoke", "ada"], ["keys", "list"]):
            keys_command.run(parser.parse_args(words), settings)
    same = {"by": getpass.getuser(), "key": "ada", "log_level": "info"}
    bounds = {"role": "worker", "tenant": "default", "worker": "ada-1"}
    assert log == [
        {"event": "key_created", "action": Action.KEY_CREATED.value, **same, **bounds},
        {"event": "key_revoked", "action": Action.KEY_REVOKED.value, **same},
    ]
    secret = capsys.readouterr().out.splitlines()[0]
    assert secret.startswith("ffw_") and secret not in str(log)


@pytest.mark.parametrize(("proxies", "seen"), [("", "127.0.0.1"), ("127.0.0.1", "192.0.2.7")])
def test_whom_a_proxy_names_counts_if_it_is_trusted(
    launch: Launch, proxies: str, seen: str
) -> None:
    master = launch(f"trusted_proxies = {[proxies] if proxies else []}\n").ready()
    headers = {
        "Authorization": f"Bearer {master.secrets[Role.SUBMIT]}",
        "X-Forwarded-For": "203.0.113.9, 192.0.2.7",
    }
    requests.post(master.url + "/jobs", json=JOB, headers=headers, timeout=PATIENCE_SECONDS)
    assert next(iter(master.client().audit(1))).address == seen


def test_the_journal_says_the_same(launch: Launch) -> None:
    master = launch().ready()
    client = master.client()
    job = client.submit(JOB).id
    client.cancel(job)
    (line,) = (row for row in master.log.splitlines() if "action=job_canceled" in row)
    for words in (f"job={job}", "by=admin", "role=admin", "from_address=127.0.0.1"):
        assert words in line
