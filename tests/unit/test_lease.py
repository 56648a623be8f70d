"""A lease: publishing waits for certainty, and never happens without it."""

from __future__ import annotations

import asyncio

import pytest

from ffmpeg_jobs.model import Terms
from ffmpeg_worker.lease import MARGIN_SECONDS, Lease, boot_seconds


def test_a_fresh_lease_is_confirmed_at_once() -> None:
    assert asyncio.run(Lease(boot_seconds() + 60).confirmed())


def test_an_adopted_attempt_waits_for_its_first_heartbeat() -> None:
    async def story() -> bool:
        lease = Lease()
        waiting = asyncio.ensure_future(lease.confirmed())
        await asyncio.sleep(0)
        assert not waiting.done()
        lease.extend(boot_seconds(), 60)
        return await waiting

    assert asyncio.run(story())


def test_a_lease_about_to_run_out_does_not_count() -> None:
    async def story() -> bool:
        lease = Lease(boot_seconds() + MARGIN_SECONDS - 1)
        waiting = asyncio.ensure_future(lease.confirmed())
        await asyncio.sleep(0)
        assert not waiting.done()
        lease.ask_stop("lost")
        return await waiting

    assert not asyncio.run(story())


def test_a_canceled_attempt_is_not_published_even_under_a_good_lease() -> None:
    async def story() -> bool:
        lease = Lease(boot_seconds() + 60)
        lease.ask_stop("cancel")
        return await lease.confirmed()

    assert not asyncio.run(story())


@pytest.mark.parametrize(
    ("wishes", "counts"),
    [
        ("lost cancel", "lost"),
        ("cancel lost", "cancel"),
        ("drain volume", "drain"),
        ("drain cancel", "cancel"),
        ("volume lost drain", "lost"),
    ],
)
def test_the_first_wish_counts_but_no_end_is_more_final(wishes: str, counts: str) -> None:
    async def story() -> str | None:
        lease = Lease()
        for by in wishes.split():
            lease.ask_stop(by)
        await lease.stop_asked()
        return lease.stop_asked_by

    assert asyncio.run(story()) == counts


def test_who_gives_way_is_paused_whatever_the_master_wants() -> None:
    lease = Lease()
    lease.give_way(True)
    assert lease.wanted is None
    lease.want(Terms(paused=False, max_memory_mb=64))
    assert lease.wanted == Terms(paused=True, max_memory_mb=64)
    lease.give_way(False)
    assert lease.wanted == Terms(paused=False, max_memory_mb=64)


@pytest.mark.parametrize("by", ["drain", "shutdown", "spot", "stop-jobs", "volume"])
def test_what_ended_well_waits_for_its_master_whoever_wants_an_end(by: str) -> None:
    async def story(order: str | None) -> bool:
        lease = Lease()
        lease.ask_stop(by)
        waiting = asyncio.ensure_future(lease.confirmed())
        await asyncio.sleep(0)
        assert not waiting.done()
        if order is None:
            lease.extend(boot_seconds(), 60)
        else:
            lease.ask_stop(order)
        return await asyncio.wait_for(waiting, 5)

    assert asyncio.run(story(None))
    assert not asyncio.run(story("lost"))
    assert not asyncio.run(story("cancel"))


def test_what_takes_long_stops_when_the_lease_is_not_sure_any_more() -> None:
    async def story() -> bool:
        lease = Lease(boot_seconds() + MARGIN_SECONDS + 0.05)
        unsure = asyncio.ensure_future(lease.unsure())
        lease.extend(boot_seconds(), MARGIN_SECONDS + 0.2)
        await asyncio.sleep(0.1)
        assert not unsure.done()  # a heartbeat came in time
        await unsure
        return lease.sure_seconds <= 0

    assert asyncio.run(story())
