"""How attempts ended travels with the claim of the next jobs, of which it may bring several."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from ffmpeg_jobs.model import (
    Claim,
    Heartbeat,
    Machine,
    Order,
    Outcome,
    Progress,
    Reason,
    Refused,
    Report,
    Result,
    Role,
    State,
)
from ffmpeg_jobs.problems import NotFound, StaleAttempt
from ffmpeg_worker.dialogue import Dialogue, Voice
from ffmpeg_worker.report import report
from ffmpeg_worker.results import Results
from tests.api.conftest import JOB, MACHINE, Inside, add_key
from tests.conftest import ENGINES

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)

DONE = Outcome(State.COMPLETED)


def result(claim: Claim, outcome: Outcome = DONE, **other: Any) -> Result:
    return replace(Result(claim.job_id, claim.attempt, claim.token, outcome), **other)


def test_a_claim_brings_as_many_jobs_as_there_is_room_for(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", replace(MACHINE, max_concurrent_jobs=5))
    ids = [client.submit(JOB).id for _ in range(7)]
    first = client.claims("ada", 0, most=3).claims
    assert [claim.job_id for claim in first] == ids[:3]
    assert len({claim.token for claim in first}) == 3
    assert [claim.job_id for claim in client.claims("ada", 0, most=9).claims] == ids[3:5]
    assert client.claims("ada", 0, most=9).claims == ()


def test_together_they_ask_no_more_than_the_machine_has(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    ids = [
        client.submit(JOB | {"resource_limits": {"max_memory_mb": size}}).id
        for size in (5000, 4000, 3000)
    ]
    assert [claim.job_id for claim in client.claims("ada", 0, most=4).claims] == [ids[0], ids[2]]


@pytest.mark.parametrize("chance", [1, 0], ids=["share", "oldest-first"])
def test_keys_share_one_claim(inside: Inside, chance: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.randrange", lambda _: chance)
    client = inside.client()
    client.register("ada", MACHINE)
    for name in ("red", "blue"):
        secret = add_key(inside.master, name, Role.SUBMIT)
        for _ in range(3):
            headers = {"Authorization": f"Bearer {secret}"}
            inside.call("POST", "/jobs", None, json=JOB | {"labels": {"of": name}}, headers=headers)
    found = [claim.job.labels["of"] for claim in client.claims("ada", 0, most=4).claims]
    assert found == (["red", "blue"] * 2 if chance else ["red"] * 3 + ["blue"])


def test_results_free_the_room_for_the_next_jobs(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", Machine(4, 8192, 1000, max_concurrent_jobs=2))
    ids = [client.submit(JOB).id for _ in range(4)]
    first = client.claims("ada", 0, most=2).claims
    broken = Outcome(State.FAILED, Reason.INPUT_ERROR, "no moov atom")
    told = [result(first[0]), result(first[1], broken)]
    answer = client.claims("ada", 0, most=2, results=told)
    assert ([claim.job_id for claim in answer.claims], answer.refused) == (ids[2:], ())
    states = [client.job(job_id) for job_id in ids]
    assert [status.state.value for status in states] == ["completed", "failed"] + ["running"] * 2
    assert states[1].error == "no moov atom"
    ended = [entry for entry in inside.log if entry["event"] == "attempt_ended"]
    assert {(entry["job"], entry["state"]) for entry in ended} == {
        (ids[0], "completed"),
        (ids[1], "failed"),
    }


def test_a_result_that_comes_late_changes_nothing_and_stops_no_other(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    for _ in range(3):
        client.submit(JOB)
    good, late, strange = client.claims("ada", 0, most=3).claims
    client.release(late.job_id, 1, late.token, "why not")
    told = [result(good), result(late), result(strange, token="x" * 32)]
    answer = client.claims("ada", 0, results=told)
    refused = {(row.job_id, row.attempt) for row in answer.refused}
    assert refused == {(late.job_id, 1), (strange.job_id, 1)}
    states = [client.job(claim.job_id).state.value for claim in (good, strange)]
    assert states == ["completed", "running"]
    # What was released is in the queue again, and came with this very claim.
    assert [(claim.job_id, claim.attempt) for claim in answer.claims] == [(late.job_id, 2)]


def test_told_twice_a_result_counts_once(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    client.submit(JOB)
    (claim,) = client.claims("ada", 0).claims
    for _ in range(2):
        assert client.claims("ada", 0, results=[result(claim)]).refused == ()
    other = result(claim, Outcome(State.FAILED, Reason.INPUT_ERROR))
    assert [row.job_id for row in client.claims("ada", 0, results=[other]).refused] == [
        claim.job_id
    ]
    assert client.job(claim.job_id).state is State.COMPLETED
    assert len([entry for entry in inside.log if entry["event"] == "attempt_ended"]) == 1


def test_who_brings_results_is_answered_at_once(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    client.submit(JOB)
    (claim,) = client.claims("ada", 0).claims
    answer = client.claims("ada", 50, results=[result(claim)])
    assert (answer.claims, answer.refused) == ((), ())


def test_nothing_is_heard_of_a_worker_that_is_not_there(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    client.submit(JOB)
    (claim,) = client.claims("ada", 0).claims
    with pytest.raises(NotFound):
        client.claims("eve", 0, results=[result(claim)])
    assert client.job(claim.job_id).state is State.RUNNING


def test_the_longest_results_fit(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", replace(MACHINE, max_concurrent_jobs=16))
    for _ in range(16):
        client.submit(JOB)
    claims = client.claims("ada", 0, most=16).claims
    long = Outcome(State.FAILED, Reason.INPUT_ERROR, "ü" * 4096, ("ü" * 2000,) * 20)
    assert len(claims) == 16
    answer = client.claims("ada", 0, results=[result(claim, long) for claim in claims])
    assert answer.refused == ()
    assert {client.job(claim.job_id).state for claim in claims} == {State.FAILED}


@pytest.mark.parametrize("alone", [True, False])
def test_a_short_log_comes_with_the_result(inside: Inside, alone: bool) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    job_id = client.submit(JOB).id
    (held,) = client.claims("ada", 0).claims
    if alone:
        client.put_log(held.job_id, 1, held.token, b"sent before")
        client.finish(held.job_id, 1, held.token, DONE, "frame ü\n")
        client.finish(held.job_id, 1, held.token, DONE, "frame ü\n")
    else:
        told = replace(result(held), log="frame ü\n")
        assert client.claims("ada", 0, results=[told, told]).refused == ()
    assert client.log(job_id) == "frame ü\n"


def test_a_worker_s_result_goes_with_a_claim_or_alone(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    for _ in range(4):
        client.submit(JOB)
    along, alone, refused, lost = client.claims("ada", 0, most=4).claims

    async def tell() -> None:
        results = Results(client)
        freed: list[int] = []
        results.freed = lambda: freed.append(len(results))
        tasks = [asyncio.ensure_future(results.tell(result(c))) for c in (along, refused, lost)]
        await asyncio.sleep(0)
        assert freed == [1, 2, 3]
        taken = results.take()
        assert [one.job_id for one in taken.values()] == [c.job_id for c in (along, refused, lost)]
        assert results.take() == {}
        fates = list(taken.items())
        Results.heard(dict(fates[:2]), [Refused(refused.job_id, 1, "too late")])
        Results.unheard(dict(fates[2:]))
        await tasks[0]
        with pytest.raises(StaleAttempt, match="too late"):
            await tasks[1]
        await tasks[2]
        await results.tell(result(alone))
        assert len(results) == 0

    asyncio.run(tell())
    states = [client.job(claim.job_id).state.value for claim in (along, alone, refused, lost)]
    assert states == ["running", "completed", "running", "completed"]


def test_what_ends_at_the_same_moment_goes_with_one_claim(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    for _ in range(4):
        client.submit(JOB)
    claims = client.claims("ada", 0, most=4).claims

    async def tell() -> None:
        results = Results(client)
        tasks = [asyncio.ensure_future(report(claim, DONE, "", results)) for claim in claims]
        await asyncio.sleep(0)
        taken = results.take()
        assert {one.job_id for one in taken.values()} == {claim.job_id for claim in claims}
        Results.heard(taken, client.claims("ada", 0, results=tuple(taken.values())).refused)
        await asyncio.gather(*tasks)

    asyncio.run(tell())
    assert {client.job(claim.job_id).state for claim in claims} == {State.COMPLETED}


def test_a_figure_that_the_master_does_not_take_costs_no_lease(inside: Inside) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    client.submit(JOB)
    (claim,) = client.claims("ada", 0).claims
    odd = Report(claim.job_id, claim.attempt, claim.token, Progress(frame=-1))
    voice = Voice(
        machine=lambda: MACHINE,
        heartbeat=lambda: Heartbeat((odd,)),
        holds=lambda: (False, None),
        room=lambda: asyncio.sleep(0, 1),
        places=lambda: 1,
        leaving=lambda: (),
        take=lambda claim, lease: None,
        obey=lambda answer, sent_at: None,
        changed=lambda: None,
    )
    dialogue = Dialogue(Results(client), "ada", voice)
    (order,) = dialogue._beat()().orders
    assert (order.job_id, order.order) == (claim.job_id, Order.CONTINUE)
