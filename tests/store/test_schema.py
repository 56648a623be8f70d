"""Both ways to a schema agree; what is too new is refused; commits are durable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate.api import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.store import schema
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.tables import METADATA
from ffmpeg_master.store.troubles import Unreachable

ROOT = Path(__file__).parents[2]


def test_migrations_lead_to_the_tables(store: Store) -> None:
    # SQLite's own tables, of counters and statistics, are not ours.
    options = {"include_name": lambda name, _type, _parents: not f"{name}".startswith("sqlite_")}
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


def test_a_migration_that_breaks_off_leaves_nothing(empty: str) -> None:
    opened = Store(empty)
    with opened.write() as connection:
        connection.exec_driver_sql("CREATE TABLE keys (name TEXT)")  # the last that 0001 creates
    with pytest.raises(Unavailable, match=r'keys"? already exists'):
        schema.migrate(opened)
    with opened.read() as connection:
        assert inspect(connection).get_table_names() == ["keys"]
    opened.close()


def test_masters_that_start_at_once_migrate_one_after_the_other(empty: str) -> None:
    script = (
        "import sys; from ffmpeg_master.store import engine, schema; "
        "schema.migrate(engine.Store(sys.argv[1]))"
    )
    path = {"PYTHONPATH": f"{ROOT}/jobs:{ROOT}/master"}
    starting = [subprocess.Popen([sys.executable, "-c", script, empty], env=path) for _ in range(3)]
    assert [process.wait(60) for process in starting] == [0, 0, 0]


#: What the database says about a transaction that writes, and what makes it durable.
DURABLE: dict[str, dict[str, object]] = {
    "sqlite": {
        "PRAGMA journal_mode": "wal",
        "PRAGMA synchronous": 2,  # FULL
        "PRAGMA foreign_keys": 1,
    },
    "postgresql": {"SHOW synchronous_commit": "on", "SHOW fsync": "on"},
}


def test_what_was_accepted_survives_a_power_cut(url: str) -> None:
    opened = Store(url)
    with opened.write(durable=False):
        pass  # the next transaction on this connection is durable again
    with opened.write() as connection:
        for question, answer in DURABLE[opened.url.get_backend_name()].items():
            assert connection.exec_driver_sql(question).scalar() == answer
    opened.close()


def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    opened = Store(f"sqlite:///{tmp_path}/none/master.db")
    with pytest.raises(Unavailable, match="unable to open database file"), opened.read():
        pass


def test_a_postgresql_that_is_not_there_is_told(tmp_path: Path) -> None:
    opened = Store(f"postgresql:///jobs?host={tmp_path}")
    with pytest.raises(Unreachable, match=r"does not answer: connection .* No such file"):
        opened.now()
