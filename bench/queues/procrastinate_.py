"""Procrastinate on PostgreSQL: jobs are as durable there as ours."""

import asyncio
import json
import os
import sys
import time

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

app = App(
    connector=PsycopgConnector(conninfo=os.environ["DATABASE"], kwargs={"connect_timeout": 10})
)
started: list[float] = []


@app.task(name="noop")  # type: ignore[misc]  # it has no types here
async def noop(sent: int) -> None:
    """Nothing but a note of when."""
    started.append((time.time_ns() - sent) / 1e6)


def submit(count: int) -> float:
    """One after the other."""
    with (
        app.replace_connector(
            SyncPsycopgConnector(conninfo=os.environ["DATABASE"], kwargs={"connect_timeout": 10})
        ) as with_threads,
        with_threads.open(),
    ):
        begun = time.monotonic()
        for _ in range(count):
            with_threads.configure_task("noop").defer(sent=time.time_ns())
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
    with (
        app.replace_connector(
            SyncPsycopgConnector(conninfo=os.environ["DATABASE"], kwargs={"connect_timeout": 10})
        ) as with_threads,
        with_threads.open(),
    ):
        with_threads.schema_manager.apply_schema()


print(json.dumps(globals()[sys.argv[1]](*map(int, sys.argv[2:]))))
