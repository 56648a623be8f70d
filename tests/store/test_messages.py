"""PostgreSQL is sent in one message what nobody waits for; a transaction is whole all the same."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select, text

from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.plans import planned_once
from ffmpeg_master.store.psycopg import unread
from ffmpeg_master.store.tables import attendance
from ffmpeg_master.store.troubles import Collision

NOTE = unread(planned_once(insert(attendance)))
NOTED = select(attendance.c.noted_at).order_by(attendance.c.id)


@pytest.fixture
def store(store: Store, engine: str) -> Store:
    if engine == "sqlite":
        pytest.skip("it is in this process: there are no messages")
    with store.write() as connection:
        connection.execute(attendance.delete())
    return store


def note(connection: Any, *numbers: int) -> None:
    rows = [{"id": number, "noted_at": number + 0.5} for number in numbers]
    connection.execute(NOTE, rows if len(rows) > 1 else rows[0])


def noted(store: Store) -> list[float]:
    with store.read() as connection:
        return list(connection.execute(NOTED).scalars())


def others_at_work(store: Store) -> int:
    """How many transactions are open beside the one that asks."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
    other = Store(store.url.render_as_string(hide_password=False))
    try:
        with other.read() as connection:
            return int(connection.execute(text(query)).scalar_one())
    finally:
        other.close()


def test_what_nobody_reads_waits_for_the_next_message(store: Store) -> None:
    with store.write() as connection:
        note(connection, 1)
        note(connection, 2, 3)
        assert others_at_work(store) == 0
        assert list(connection.execute(NOTED).scalars()) == [1.5, 2.5, 3.5]
        assert others_at_work(store) == 1
        note(connection, 4)
    assert noted(store) == [1.5, 2.5, 3.5, 4.5]


def test_nothing_but_what_nobody_reads(store: Store) -> None:
    with store.write() as connection:
        note(connection, 1)
    assert noted(store) == [1.5]


def test_values_are_no_placeholders_and_no_statements(store: Store) -> None:
    name = "100 %s; %(x)s '; DROP TABLE jobs; --"
    keep = "UPDATE workers SET held_back = :why WHERE name = 'ada'"
    with store.write() as connection:
        connection.execute(unread(text(keep)), {"why": name})
        found = connection.execute(text("SELECT held_back FROM workers WHERE name = 'ada'"))
        assert found.scalar_one() == name


@pytest.mark.parametrize("after", [(), (NOTED,)])
def test_what_it_raises_is_raised_by_the_end_and_nothing_is_kept(
    store: Store, after: tuple[Any, ...]
) -> None:
    with pytest.raises(Collision), store.write() as connection:
        note(connection, 1)
        note(connection, 1)
        for statement in after:
            connection.execute(statement)
    assert noted(store) == []
    with store.write() as connection:
        note(connection, 2)
    assert noted(store) == [2.5]


def test_who_gives_up_has_sent_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.write() as connection:
        note(connection, 1)
        raise ZeroDivisionError
    with store.write() as connection:
        note(connection, 2)
    assert noted(store) == [2.5]


def test_many_rows_follow_what_was_not_sent(store: Store) -> None:
    with store.write() as connection:
        note(connection, 1)
        rows = [{"id": number, "noted_at": number + 0.5} for number in (2, 3)]
        connection.execute(insert(attendance), rows)
    assert noted(store) == [1.5, 2.5, 3.5]
