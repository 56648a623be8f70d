"""The database: the only file that knows SQLite from PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import QueuePool

from ffmpeg_jobs.problems import Unavailable

#: SQLAlchemy's connection; 1.4 and 2.0 type its rows differently.
Connection = Any

#: How long SQLite waits for another process's write (`ffmpeg-master keys`), in ms.
_BUSY_TIMEOUT_MS: Final = 5000


class Store:
    """An open database and its clock."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        """``clock`` is Unix time in seconds; leases, retries and retention go by it."""
        self.now = clock
        self.url = make_url(url)
        # A connection is used by one thread at a time, but not always by the same one.
        self._engine: Any = create_engine(
            url, future=True, poolclass=QueuePool, connect_args={"check_same_thread": False}
        )
        # SQLite's own waiting is unfair, and would stop every greenlet of this process.
        self._writing = threading.Lock()
        event.listen(self._engine, "connect", _set_up_sqlite)
        event.listen(self._engine, "begin", _begin)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one moment. Raises Unavailable."""
        with _translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is durable when it ends, or never was. Raises Unavailable."""
        with self._writing, _translated(), self._engine.connect() as connection:
            writer = connection.execution_options(writes=True)
            with writer.begin():
                yield writer

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # Python's sqlite3 would begin transactions by itself, and not before a SELECT.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # an accepted job survives a power cut
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A writer takes its lock at once: one that read first could not be let in later.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise Unavailable(f"the database does not answer: {error.orig}") from error
