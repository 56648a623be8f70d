"""Procrastinate on PostgreSQL: jobs are as durable there as ours."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

app = App(
    connector=PsycopgConnector(conninfo=os.environ["DATABASE"], kwargs={"connect_timeout": 10})
)
started: list[float] = []


@app.task(name="noop")  # type: ignore[misc]  # it has no types here
async def noop(sent: int) -> None:
    """Nothing but a note of when."""
    started.append((time.time_ns() - sent) / 1e6)


@contextmanager
def opened() -> Iterator[App]:
    """As a program without asyncio has it."""
    connector = SyncPsycopgConnector(
        conninfo=os.environ["DATABASE"], kwargs={"connect_timeout": 10}
    )
    with app.replace_connector(connector) as with_threads, with_threads.open():
        yield with_threads


def submit(count: int) -> float:
    """One after the other."""
    with opened() as with_threads:
        begun = time.monotonic()
        for _ in range(count):
            with_threads.configure_task("noop").defer(sent=time.time_ns())
        return count / (time.monotonic() - begun)


def submit_hundreds(count: int) -> float:
    """A hundred at a time."""
    with opened() as with_threads:
        begun = time.monotonic()
        for _ in range(count // 100):
            rows = [{"sent": time.time_ns()} for _ in range(100)]
            with_threads.configure_task("noop").batch_defer(*rows)
        return count / (time.monotonic() - begun)


def work(count: int, slots: int) -> float:
    """All that waits."""

    async def run() -> float:
        async with app.open_async():
            begun = time.monotonic()
            await app.run_worker_async(concurrency=slots, wait=False, install_signal_handlers=False)
            return time.monotonic() - begun

    seconds = asyncio.run(run())
    assert len(started) == count
    return count / seconds


def wait(count: int) -> list[float]:
    """One worker waits; a job comes now and then."""

    async def run() -> None:
        async with app.open_async():
            worker = asyncio.create_task(
                app.run_worker_async(concurrency=1, install_signal_handlers=False)
            )
            await asyncio.sleep(1)
            for number in range(count):
                await asyncio.sleep(0.1)
                await noop.defer_async(sent=time.time_ns())
                while len(started) <= number:
                    await asyncio.sleep(0.001)
            worker.cancel()

    asyncio.run(run())
    return started


def schema() -> None:
    """Its tables."""
    with opened() as with_threads:
        with_threads.schema_manager.apply_schema()


print(json.dumps(globals()[sys.argv[1]](*map(int, sys.argv[2:]))))
