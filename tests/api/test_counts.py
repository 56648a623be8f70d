"""Jobs are counted by state and queue, as few of them as one wants."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from ffmpeg_jobs.model import Role
from ffmpeg_master.store.tables import tallies
from tests.api.conftest import JOB, MACHINE, Inside, add_key


def counted(inside: Inside, query: str = "") -> dict[str, Any]:
    answer: dict[str, Any] = inside.call("GET", f"/jobs/counts{query}").json()
    return answer


def few(states: dict[str, int]) -> dict[str, int]:
    return {name: number for name, number in states.items() if number}


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
def test_jobs_are_counted_by_state_and_queue(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    client.submit(JOB | {"queue": "live"})
    client.claim("ada", 0)
    client.submit(JOB | {"queue": "live"})
    red = client.submit(JOB | {"queue": "batch", "labels": {"color": "red"}, "group": "night"})
    client.submit(JOB | {"queue": "batch"})
    client.cancel(red.id)
    found = counted(inside)
    assert found["jobs"] == 4
    assert few(found["states"]) == {"queued": 2, "running": 1, "canceled": 1}
    queues = {name: few(states) for name, states in found["queues"].items()}
    assert queues == {
        "live": {"queued": 1, "running": 1},
        "default": {},
        "batch": {"queued": 1, "canceled": 1},
    }
    for query, jobs in (
        ("?queue=live", 2),
        ("?label=color%3Dred", 1),
        ("?group=night", 1),
        ("?worker=ada", 1),
        ("?until=2001-01-01T00:00:00Z", 0),
        ("?since=2001-01-01T00:00:00Z", 4),
    ):
        assert counted(inside, query)["jobs"] == jobs, query


def test_others_jobs_are_not_counted(inside: Inside) -> None:
    inside.client().submit(JOB)
    inside.secrets[Role.READ] = add_key(inside.master, "guest", Role.READ, tenant="guests")
    assert inside.call("GET", "/jobs/counts", Role.READ).json()["jobs"] == 0
    assert counted(inside)["jobs"] == 1


def test_counts_are_not_paged(inside: Inside) -> None:
    answer = inside.call("GET", "/jobs/counts?limit=1")
    assert answer.status_code == 422
    assert "limit: unknown field; allowed are queue, worker" in answer.json()["detail"]


def test_what_is_kept_of_the_counts_stays_small(inside: Inside) -> None:
    inside.call("POST", "/jobs/batch", json={"jobs": [JOB] * 120})
    inside.housekeeping.round()
    with inside.master.store.read() as connection:
        assert len(connection.execute(select(tallies)).all()) == 1
    assert counted(inside)["jobs"] == inside.call("GET", "/health").json()["queued"] == 120
