"""Both ways to a schema agree; what is too new is refused; commits are durable."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate.api import compare_metadata
from alembic.runtime.migration import MigrationContext

from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.store import schema
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import METADATA


def test_migrations_lead_to_the_tables(store: Store) -> None:
    # SQLite's own table of counters is not ours.
    options = {"include_name": lambda name, _type, _parents: name != "sqlite_sequence"}
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []


def test_a_second_migration_does_nothing(store: Store) -> None:
    schema.migrate(store)


def test_a_newer_schema_is_refused(store: Store) -> None:
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(schema.SchemaTooNew, match="9999 is newer than this master knows"):
        schema.migrate(store)


def test_a_migration_that_breaks_off_leaves_nothing(url: str) -> None:
    opened = Store(url)
    with opened.write() as connection:
        connection.exec_driver_sql("CREATE TABLE keys (name TEXT)")  # the last that 0001 creates
    with pytest.raises(Unavailable, match="keys already exists"):
        schema.migrate(opened)
    with opened.read() as connection:
        names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert [row[0] for row in names] == ["keys"]
    opened.close()


def test_what_was_accepted_survives_a_power_cut(store: Store) -> None:
    with store.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    opened = Store(f"sqlite:///{tmp_path}/none/master.db")
    with pytest.raises(Unavailable, match="unable to open database file"), opened.read():
        pass
