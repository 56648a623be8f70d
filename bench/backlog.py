"""What a long queue costs: claims, ends, lists and counts with few jobs queued and with many."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count, islice, product
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import insert, select
from tests.postgres import Postgres

from bench import table
from bench.master import Running, master
from bench.queue import postgresql
from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.model import Claim, Machine, Outcome, Result, State
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import jobs

ROUNDS = 60
AT_ONCE = 10_000
#: Nine ranks and four kinds of need: as many lines.
KINDS = [
    {"queue": queue, "priority": priority, "resource_limits": {"max_memory_mb": memory}}
    for queue, priority, memory in product(
        ("live", "default", "batch"), ("high", "medium", "low"), (256, 512, 1024, 2048)
    )
]
DONE = Outcome(State.COMPLETED)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--jobs", type=int, nargs="+", default=[1_000, 1_000_000])
    asked = options.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)
        server: Postgres = stack.enter_context(postgresql(directory / "postgresql"))
        urls: dict[str, Callable[[], str]] = {
            "PostgreSQL": lambda: server.url(server.create()),
            "SQLite": lambda: f"sqlite:///{directory}/{time.monotonic_ns()}.db",
        }
        for name, url in urls.items():
            _compare(name, directory, [(size, url()) for size in asked.jobs])


def _compare(name: str, directory: Path, databases: list[tuple[int, str]]) -> None:
    found = [_measure(directory, url, size) for size, url in databases]
    sizes = [f"{size:,} queued" for size, _ in databases]
    rows = [
        (what, *(each[what] for each in found), found[-1][what] / found[0][what])
        for what in found[0]
    ]
    table.show(f"{name}: median ms of a request", ("", *sizes, "times"), rows)


def _measure(directory: Path, url: str, size: int) -> dict[str, float]:
    with master(directory, url) as found:
        client = MasterClient(Endpoint(found.url, found.key))
        for number in range(min(size, 1000)):
            client.submit(KINDS[number % len(KINDS)] | {"parameters": {"duration": 1}})
        _multiply(url, size)
        client.register("bench", Machine(64, 1 << 30, 1 << 40, 1000))
        return {what: _median(work) for what, work in _work(client, found).items()}


def _work(client: MasterClient, found: Running) -> dict[str, Callable[[], object]]:
    held: list[Claim] = []

    def submit() -> None:
        client.submit(KINDS[0] | {"parameters": {"duration": 1}})

    def claim() -> None:
        held.extend(client.claims("bench", 0).claims)

    def finish() -> None:
        one = held.pop()
        client.finish(one.job_id, one.attempt, one.token, DONE)

    def eight() -> None:
        ended = [Result(one.job_id, one.attempt, one.token, DONE) for one in held]
        held[:] = client.claims("bench", 0, most=8, results=ended[:16]).claims

    def page() -> None:
        list(client.jobs(100))

    def queued() -> None:
        list(client.jobs(100, state="queued"))

    def far() -> None:
        list(islice(client.jobs(None, queue="batch"), 300))

    def counts() -> None:
        headers = {"Authorization": f"Bearer {found.key}"}
        answer = requests.get(f"{found.url}/metrics", headers=headers, timeout=60)
        answer.raise_for_status()

    return {
        "submit": submit,
        "claim": claim,
        "finish": finish,
        "end 8, claim 8": eight,
        "list, 100": page,
        "list queued, 100": queued,
        "three pages of a queue": far,
        "counts (/metrics)": counts,
    }


def _median(work: Callable[[], Any]) -> float:
    taken = []
    for _ in range(ROUNDS):
        begun = time.monotonic()
        work()
        taken.append((time.monotonic() - begun) * 1000)
    return statistics.median(taken)


def _multiply(url: str, size: int) -> None:
    """Copy the jobs that are there until there are so many."""
    store = Store(url)
    with store.read() as connection:
        rows = [dict(row._mapping) for row in connection.execute(select(jobs))]
    copies = _copies(rows, size - len(rows))
    while some := list(islice(copies, AT_ONCE)):
        with store.write() as connection:
            connection.execute(insert(jobs), some)
    with store.write() as connection:
        connection.exec_driver_sql("ANALYZE")
    store.close()


def _copies(rows: list[dict[str, Any]], wanted: int) -> Iterator[dict[str, Any]]:
    for number in islice(count(), wanted):
        row = dict(rows[number % len(rows)])
        del row["number"]
        yield row | {"id": f"{number:012o}".translate(_DIGITS), "idempotency_key": None}


#: Octal digits to characters of an id.
_DIGITS = str.maketrans("01234567", "abcdefgh")

if __name__ == "__main__":
    main()
