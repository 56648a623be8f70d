"""The numbers of jobs that are kept are those that there are, whoever writes meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import func, select, text

from ffmpeg_jobs.model import Job, Queue
from ffmpeg_master.model import Needs
from ffmpeg_master.store import intake, queue, schema, tallies
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import tallies as tallies_table
from tests import handing
from tests.store.conftest import Clock
from tests.store.counted import TENANTS, check


def submit(store: Store, number: int) -> str:
    job = Job(queue=list(Queue)[number % len(Queue)])
    asked = intake.Submission(job, Needs(), 4, "digest", tenant=TENANTS[number % 2])
    return intake.submit(store, asked)[0].id


def size(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.count(tallies_table.c.id))).scalar_one())


def test_folding_keeps_the_numbers(store: Store) -> None:
    for number in range(40):
        queue.cancel(store, submit(store, number))
    for number in range(6):
        submit(store, number)
    assert size(store) == 126
    tallies.fold(store)
    check(store)
    assert size(store) == 12  # canceled and queued, of two tenants and three queues
    tallies.fold(store)  # nothing is spared any more
    assert size(store) == 12


def test_numbers_are_those_of_every_moment(store: Store, clock: Clock) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 60):
            job_id = submit(store, number)
            if number % 3 == 1:
                queue.cancel(store, job_id)
            elif number % 3 == 2:
                assert handing.claim(store, job_id, "ada", most=1000, lease_seconds=60)
            queue.forget(store, clock() + 1, 1)

    def until_all_is_written(work: Callable[[Store], None]) -> int:
        rounds = 0
        while not all(one.done() for one in writing):
            work(store)
            rounds += 1
        return rounds

    with ThreadPoolExecutor(7) as threads:
        writing = [threads.submit(write, place) for place in range(4)]
        meanwhile = (tallies.fold, tallies.fold, check)
        rounds = [threads.submit(until_all_is_written, work) for work in meanwhile]
    assert [one.result() for one in writing] == [None] * 4
    assert all(one.result() > 0 for one in rounds)
    check(store)


def test_jobs_that_were_there_before_are_counted(store: Store) -> None:
    last = [submit(store, number) for number in range(5)][-1]
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    with store.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0018")
        # In words of its own: this master's code knows columns that came later.
        connection.execute(text("UPDATE jobs SET state = 'canceled' WHERE id = :id"), {"id": last})
    schema.migrate(store)
    submit(store, 5)
    check(store)
