"""PostgreSQL plans what runs often once per connection, and anew when the tables changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import bindparam, event, func, insert, select, text, update

from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.plans import padded, planned_once
from ffmpeg_master.store.tables import attendance, workers
from ffmpeg_master.store.troubles import Collision

NAMES = ("ada", "bob")  #: of the workers that every store here has
FIND = planned_once(
    select(workers.c.name)
    .where(workers.c.name.in_(bindparam("names", expanding=True)))
    .order_by(workers.c.name)
)
RENAME = planned_once(update(workers).where(workers.c.name == bindparam("of")))


@pytest.fixture
def store(store: Store, engine: str) -> Store:
    if engine == "sqlite":
        pytest.skip("it keeps the plans itself")
    return store


@contextmanager
def told(store: Store) -> Iterator[list[str]]:
    """What the database is told meanwhile."""
    words: list[str] = []

    def hear(*said: Any) -> None:
        words.append(said[1].query.decode())  # as the driver's cursor sent it

    event.listen(store._engine, "after_cursor_execute", hear)
    yield words
    event.remove(store._engine, "after_cursor_execute", hear)


def plans(store: Store) -> list[str]:
    """Those that the connection that is at hand keeps."""
    query = "SELECT statement FROM pg_prepared_statements"
    with store.read() as connection:
        return list(connection.execute(text(query)).scalars())


def find(store: Store, *names: str) -> list[str]:
    with store.write() as connection:
        return list(connection.execute(FIND, {"names": padded(names)}).scalars())


def test_it_is_planned_once_for_all_parameters(store: Store) -> None:
    before = len(plans(store))
    with told(store) as words:
        assert [find(store, "ada"), find(store, "bob"), find(store, "100 % %s")] == [
            ["ada"],
            ["bob"],
            [],
        ]
    assert len(plans(store)) == before + 1
    assert {word.partition(" (")[0].partition(" ffmpeg")[0] for word in words} == {"BEGIN; EXECUTE"}


def test_a_transaction_begins_with_its_first_statement(store: Store) -> None:
    with told(store) as words:
        with store.read() as connection:
            connection.execute(text("SELECT 1"))
            connection.execute(text("SELECT 2"))
        with store.write(durable=False) as connection:
            how = connection.execute(text("SHOW synchronous_commit")).scalar_one()
        with store.write() as connection:
            and_then = connection.execute(text("SHOW synchronous_commit")).scalar_one()
    assert words == [
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1",
        "SELECT 2",
        "BEGIN; SET LOCAL synchronous_commit = off; SHOW synchronous_commit",
        "BEGIN; SHOW synchronous_commit",
    ]
    assert (how, and_then) == ("off", "on")


def test_many_rows_begin_no_transaction_each(store: Store) -> None:
    with told(store) as words, pytest.raises(ZeroDivisionError), store.write() as connection:
        rows = [{"id": number, "noted_at": 0.0} for number in range(5, 5000)]
        connection.execute(insert(attendance), rows)
        assert connection.execute(select(func.count()).select_from(attendance)).scalar_one() > 4000
        raise ZeroDivisionError
    assert sum(word.startswith("BEGIN") for word in words) <= 1
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(attendance)).scalar_one() == 1


def test_any_number_of_parameters_takes_few_plans(store: Store) -> None:
    before = len(plans(store))
    for count in range(1, 65):
        assert find(store, *(str(number) for number in range(count)), "ada") == ["ada"]
    assert len(plans(store)) - before <= 7


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9])
def test_padding_repeats_the_last_one(count: int) -> None:
    values = list(range(count))
    assert sorted(set(padded(values))) == values
    assert len(padded(values)).bit_count() == 1


def test_what_it_changed_is_told(store: Store) -> None:
    with store.write() as connection:
        one = connection.execute(RENAME, {"of": "ada", "held_back": "100 % busy"})
        assert one.rowcount == 1
        none = connection.execute(RENAME, {"of": "nobody", "held_back": None})
        assert none.rowcount == 0
        several = [{"of": name, "held_back": f"{name} rests"} for name in NAMES]
        connection.execute(RENAME, several)
    with store.read() as connection:
        rows = connection.execute(select(workers.c.held_back).order_by(workers.c.name))
        assert list(rows.scalars()) == ["ada rests", "bob rests"]


def test_several_rows_are_inserted_by_one_statement(store: Store) -> None:
    row: dict[str, Any] = {
        "machine": "{}",
        "draining": False,
        "registered_at": 0,
        "last_heartbeat_at": 0,
    }
    rows = [{"name": f"w{number}", **row} for number in range(5)]
    before = plans(store)
    with store.write() as connection:
        connection.execute(planned_once(insert(workers)), rows)
    assert plans(store) == before
    assert find(store, "w4") == ["w4"]


def test_a_plan_from_before_a_change_of_the_tables_is_given_up(store: Store) -> None:
    assert find(store, "ada") == ["ada"]
    with store.write() as connection:
        connection.execute(text("ALTER TABLE workers ALTER COLUMN name TYPE text"))
    with pytest.raises(Collision):  # which has requests asked again
        find(store, "ada")
    assert find(store, "ada") == ["ada"]
