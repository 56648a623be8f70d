"""What several rooms' tests share: the databases, of each kind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Postgres

ENGINES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running server, started when the first test asks for it."""
    if not Postgres.installed():
        reason = "there is no PostgreSQL; install Debian's package postgresql"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    # Not in pytest's own directory, which other users may not enter; a socket's path is short.
    with tempfile.TemporaryDirectory(prefix="pg") as directory:
        server = Postgres(Path(directory))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """A PostgreSQL database with the tables, to make others of."""
    # Not for all who read this file: the library's tests run where the master's needs are not.
    from ffmpeg_master.store import schema
    from ffmpeg_master.store.engine import Store

    name = postgres.create()
    opened = Store(postgres.url(name))
    schema.migrate(opened)
    opened.close()
    return name


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """The kind of database; tests that matter on both are parametrised with it."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def url(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of the test's own, to be migrated when it is opened."""
    if engine == "sqlite":
        yield f"sqlite:///{tmp_path}/master.db"
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    name = postgres.create(request.getfixturevalue("migrated"))
    yield postgres.url(name)
    postgres.drop(name)
