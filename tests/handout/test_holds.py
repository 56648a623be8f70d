"""A claim that is held is answered the moment that what kept it ends, at whichever master."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ffmpeg_jobs.model import Claim, Heartbeat, Outcome, Reason, State
from tests.api.conftest import JOB, MACHINE
from tests.conftest import ENGINES
from tests.handout.farm import LEAP, LEASE, Farm

pytestmark = [
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow"),
    pytest.mark.parametrize("engine", ENGINES, indirect=True),
]

ONE = replace(MACHINE, max_concurrent_jobs=1)
FULL = "the disk is full"
LAST = -1  #: the other master, where there are two


def says(farm: Farm, serial: int, held_back: str | None = None, where: int = 0) -> int | None:
    """What ada's heartbeat is answered: the serial of what it said later."""
    said = Heartbeat(held_back=held_back, serial=serial)
    newer = farm.clients[where].heartbeat("ada", said).serial
    farm.settle()
    return newer


def test_who_asks_after_it_was_held_back_gets_a_job_at_once(farm: Farm) -> None:
    farm.clients[0].register("ada", MACHINE)
    job = farm.clients[0].submit(JOB).id
    says(farm, 5, FULL)
    assert farm.claim(LAST, "ada", 6) == [job]


def test_what_was_said_before_changes_nothing(farm: Farm) -> None:
    client = farm.clients[0]
    client.register("ada", MACHINE)
    assert says(farm, 5, FULL) is None
    assert says(farm, 4, where=LAST) == 5
    assert client.workers()[0].held_back == FULL
    client.submit(JOB)
    assert farm.claim(0, "ada", 4) == []
    assert says(farm, 6) is None
    assert says(farm, 5, FULL) == 6
    assert client.workers()[0].held_back is None


def test_an_older_claim_is_held_until_what_was_said_later_is_lifted(farm: Farm) -> None:
    client = farm.clients[0]
    client.register("ada", MACHINE)
    says(farm, 5, FULL)
    job = client.submit(JOB).id
    found = farm.claim(0, "ada", 4)
    says(farm, 3)
    says(farm, 6, FULL)
    farm.pass_second()
    assert found == []
    says(farm, 7, where=LAST)
    assert found == [job]


def test_one_that_is_held_hears_that_its_worker_takes_no_more(farm: Farm) -> None:
    client = farm.clients[0]
    client.register("ada", MACHINE)
    found = farm.claim(0, "ada", 4)
    says(farm, 5, FULL, where=LAST)
    job = client.submit(JOB).id
    farm.settle()
    assert found == []
    says(farm, 6, where=LAST)
    assert found == [job]


def test_who_says_that_it_has_a_place_is_believed(farm: Farm) -> None:
    client = farm.clients[0]
    asking = {"max_memory_mb": MACHINE.memory_mb}
    client.register("ada", ONE)
    client.submit({**JOB, "resource_limits": asking})
    first = claimed(farm)
    job = client.submit({**JOB, "resource_limits": asking}).id
    at = (first.job_id, first.attempt)
    assert farm.claim(0, "ada", 2) == []
    assert farm.claim(0, "ada", 3, places=1) == []
    assert farm.claim(LAST, "ada", 4, places=1, leaving=[at]) == [job]


def test_it_gets_no_more_than_it_has_places(farm: Farm) -> None:
    client = farm.clients[0]
    client.register("ada", replace(MACHINE, max_concurrent_jobs=4))
    ids = [client.submit(JOB).id for _ in range(4)]
    assert farm.claim(0, "ada", 1, places=2, most=4) == ids[:2]
    assert farm.claim(0, "ada", 2, places=0, most=4) == []


def claimed(farm: Farm) -> Claim:
    """The job that ada gets."""
    (claim,) = farm.clients[0].claims("ada", 0, 1).claims
    return claim


def finish(farm: Farm, first: Claim) -> None:
    at = (first.job_id, first.attempt, first.token)
    farm.clients[LAST].finish(*at, Outcome(State.COMPLETED))


def fail(farm: Farm, first: Claim) -> None:
    at = (first.job_id, first.attempt, first.token)
    farm.clients[LAST].finish(*at, Outcome(State.FAILED, Reason.NETWORK_ERROR, "broke off"))


def give_back(farm: Farm, first: Claim) -> None:
    at = (first.job_id, first.attempt, first.token)
    farm.clients[LAST].release(*at, "no room")


def never_heard(farm: Farm, _first: Claim) -> None:
    farm.clients[LAST].heartbeat("ada", Heartbeat(claim_serial=2, serial=3))


def go_silent(farm: Farm, _first: Claim) -> None:
    for _ in range(int(LEASE / LEAP) + 1):
        farm.leap()


@pytest.mark.parametrize("ends", [finish, fail, give_back, never_heard, go_silent])
def test_the_end_of_what_it_ran_makes_room(farm: Farm, ends: Callable[[Farm, Claim], None]) -> None:
    client = farm.clients[0]
    for name in ("ada", "bob"):
        client.register(name, replace(ONE, labels={"is": name}))
    client.submit(JOB)
    first = claimed(farm)
    job = client.submit({**JOB, "worker_labels": {"is": "ada"}}).id
    # What goes back to the queue goes to the one that waits longest.
    given_back = farm.claim(0, "bob", 1)
    found = farm.claim(0, "ada", 2)
    ends(farm, first)
    farm.settle()
    if ends is go_silent:  # its claim ended with the lease: it may hear nothing; then it is back
        assert found == []
        found = farm.claim(0, "ada", 4)
        farm.settle()
    assert found == [job]
    goes_back = ends in (give_back, never_heard, go_silent)
    assert given_back == ([first.job_id] if goes_back else [])


def test_who_is_woken_for_one_job_and_takes_another_leaves_it_to_the_next(farm: Farm) -> None:
    """The room for the other was made, and its worker not told of it yet."""
    client = farm.clients[0]
    for name in ("ada", "bob", "cyd"):
        client.register(name, replace(ONE, labels={"is": name}))
    client.submit(JOB)
    first = claimed(farm)
    adas = client.submit({**JOB, "worker_labels": {"is": "ada"}}).id
    client.submit(JOB)
    (second,) = client.claims("cyd", 0, 1).claims
    farm.clock.forward(9)
    found, others = farm.claim(0, "ada", 2), farm.claim(0, "bob", 1)
    with farm.late():
        farm.stage.begin(lambda: finish(farm, first))
    client.release(second.job_id, second.attempt, second.token, "no room")
    farm.settle()
    assert (found, others) == ([adas], [second.job_id])


def test_so_does_one_that_had_left_the_other_to_a_worker_that_is_gone(farm: Farm) -> None:
    client = farm.clients[0]
    for name in ("ada", "bob", "cyd", "dan"):
        client.register(name, replace(ONE, labels={"may": str(name in ("ada", "bob"))}))
    left = client.submit({**JOB, "worker_labels": {"may": "True"}}).id
    fail(farm, claimed(farm))  # now it is bob's, who does not ask
    farm.leap()
    job = client.submit(JOB).id
    (second,) = client.claims("cyd", 0, 1).claims
    found, others = farm.claim(0, "ada", 2), farm.claim(0, "dan", 1)
    for _ in range(2):
        farm.leap()
    assert (second.job_id, found, others) == (job, [], [])
    client.ask_worker("bob", "cordon")
    client.release(second.job_id, second.attempt, second.token, "no room")
    farm.settle()
    assert (found, others) == ([left], [job])


def test_beside_a_job_that_asks_for_less_there_is_room(farm: Farm) -> None:
    client, half = farm.clients[0], MACHINE.memory_mb // 2
    client.register("ada", MACHINE)
    asking: dict[str, Any] = {**JOB, "resource_limits": {"max_memory_mb": half + 100}}
    client.submit(asking)
    first = claimed(farm)
    job = client.submit(asking).id
    client.register("bob", replace(MACHINE, memory_mb=100))
    others = farm.claim(LAST, "bob", 1)  # and is woken for what waits
    found = farm.claim(0, "ada", 2)
    farm.clients[LAST].set_limits(first.job_id, {"max_memory_mb": half - 100})
    farm.settle()
    assert (found, others) == ([job], [])


def held(farm: Farm) -> int:
    """Claims that wait, at all masters."""
    return sum(len(master.wakeup) for master in farm.masters)


def test_a_claim_that_is_outdated_is_called_back(farm: Farm) -> None:
    """It said that there is no place: it would bring live jobs alone."""
    client = farm.clients[0]
    client.register("ada", replace(ONE, preempts=True))
    farm.settle()
    found = farm.claim(LAST, "ada", 1, places=0)
    farm.settle()
    client.submit(JOB)
    farm.settle()
    assert found == []
    assert held(farm) == 1
    client.heartbeat("ada", Heartbeat(serial=2, recall=True))
    farm.settle()
    assert held(farm) == 0
    assert len(farm.claim(0, "ada", 3, places=1)) == 1
