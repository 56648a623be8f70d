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
from ffmpeg_master.store import tallies
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import jobs

ROUNDS = 60
#: The most that anything may cost with the most jobs, of what it costs with the fewest.
AIM = 1.5
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
    with ExitStack() as stack:
        works = [_prepare(stack, directory, url, size) for size, url in databases]
        found = {what: _medians([work[what] for work in works]) for what in works[0]}
    sizes = [f"{size:,} queued" for size, _ in databases]
    rows = [(what, *medians, medians[-1] / medians[0]) for what, medians in found.items()]
    title = f"{name}: median ms of a request; at most {AIM:g} times as much is the aim"
    table.show(title, ("", *sizes, "times"), rows)


def _prepare(
    stack: ExitStack, directory: Path, url: str, size: int
) -> dict[str, Callable[[], object]]:
    found = stack.enter_context(master(directory, url))
    client = MasterClient(Endpoint(found.url, found.key))
    for number in range(min(size, 1000)):
        rare = {} if number % 50 else {"labels": {"rare": "yes"}}
        client.submit(KINDS[number % len(KINDS)] | {"parameters": {"duration": 1}} | rare)
    _multiply(url, size)
    client.register("bench", Machine(64, 1 << 30, 1 << 40, 1000))
    return _work(client, found)


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

    def listed(most: int, **filters: str) -> Callable[[], object]:
        return lambda: list(client.jobs(most, **filters))

    return {
        "submit": submit,
        "claim": claim,
        "finish": finish,
        "end 8, claim 8": eight,
        "list, 100": listed(100),
        "list queued, 100": listed(100, state="queued"),
        "three pages of a queue": listed(300, queue="batch"),
        "list a worker's": listed(100, worker="bench"),
        "list of a rare label": listed(100, label="rare=yes"),
        **{path: _get(found, path) for path in ("/jobs/counts", "/health", "/metrics")},
    }


def _get(found: Running, path: str) -> Callable[[], object]:
    session = requests.Session()  # one connection: to open one would take longer than the answer
    session.headers["Authorization"] = f"Bearer {found.key}"

    def get() -> None:
        session.get(found.url + path, timeout=60).raise_for_status()

    return get


def _medians(works: list[Callable[[], object]]) -> list[float]:
    """Of each, in turns, so that what else the machine does falls on all."""
    taken: list[list[float]] = [[] for _ in works]
    for _, (mine, work) in product(range(ROUNDS), list(zip(taken, works, strict=True))):
        begun = time.monotonic()
        work()
        mine.append((time.monotonic() - begun) * 1000)
    return [statistics.median(mine) for mine in taken]


def _multiply(url: str, size: int) -> None:
    """Copy the jobs that are there until there are so many."""
    store = Store(url)
    with store.read() as connection:
        rows = [dict(row._mapping) for row in connection.execute(select(jobs))]
    copies = _copies(rows, size - len(rows))
    while some := list(islice(copies, AT_ONCE)):
        with store.write() as connection:
            connection.execute(insert(jobs), some)
        tallies.fold(store)  # what came so fast that the master's housekeeping would take minutes
    if store.shared:
        # As a database is that grew so large by and by: PostgreSQL does it itself, each minute.
        connection = store.connect_alone()
        connection.autocommit = True
        connection.cursor().execute("VACUUM (ANALYZE)")
        connection.close()
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
