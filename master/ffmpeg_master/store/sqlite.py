"""SQLite's connections, and how a transaction begins in them."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import event

#: How long it waits for another process's write (`ffmpeg-master keys`), in ms.
_BUSY_TIMEOUT_MS: Final = 5000


def set_up(connection: Any, _record: object) -> None:
    """Prepare a new connection of the driver's."""
    # Python's sqlite3 would begin transactions by itself, and not before a SELECT.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # an accepted job survives a power cut
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def begin_at_once(engine: Any) -> None:
    """Have a transaction begin when SQLAlchemy's does, by the statements of its option ``begin``:
    there is no round trip to be spared."""
    event.listen(engine, "begin", _begin)


def _begin(connection: Any) -> None:
    *pragmas, begin = connection.get_execution_options()["begin"].split("; ")
    for pragma in pragmas:
        connection.connection.dbapi_connection.execute(pragma)
    # By SQLAlchemy, which deals with what it raises: another process may be writing.
    connection.exec_driver_sql(begin)
