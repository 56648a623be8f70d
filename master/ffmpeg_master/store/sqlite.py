"""SQLite's connections, and how a transaction begins in them."""

from __future__ import annotations

import sqlite3
import time
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, OperationalError

#: How long SQLite itself waits for another process, in ms: all that this process does stands
#: still meanwhile. Reads alone need it, for a moment when another process comes or goes.
_BUSY_TIMEOUT_MS: Final = 20
#: How long a transaction that writes waits to begin, in seconds: another process writes
#: (`ffmpeg-master keys`, a backup). This process goes on meanwhile.
PATIENCE_SECONDS: Final = 2.0
#: Between two tries, at first and at most, in seconds.
_TRY_SECONDS: Final = 0.001
_TRY_MOST_SECONDS: Final = 0.025
#: Another process writes, and did not end in time (sqlite.org/rescode.html).
BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


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
    event.listen(engine, "begin", _Beginning().begin)


class _Beginning:
    """How transactions begin while another process may be writing."""

    def __init__(self) -> None:
        #: Monotonic seconds when it was first found to be writing; None: it is not. Who comes
        #: later waits no longer than who came first, so that no queue forms.
        self._locked_at: float | None = None

    def begin(self, connection: Any) -> None:
        """Begin, by SQLAlchemy, which deals with what it raises."""
        *pragmas, begin = connection.get_execution_options()["begin"].split("; ")
        for pragma in pragmas:
            connection.connection.dbapi_connection.execute(pragma)
        if not pragmas:  # it only reads, and waits for nobody to begin
            connection.exec_driver_sql(begin)
            return
        wait = _TRY_SECONDS
        while True:
            try:
                connection.exec_driver_sql(begin)
            except OperationalError as error:
                if not is_busy(error) or self._is_over():
                    raise
                time.sleep(wait)
                wait = min(2 * wait, _TRY_MOST_SECONDS)
            else:
                self._locked_at = None
                return

    def _is_over(self) -> bool:
        now = time.monotonic()
        self._locked_at = self._locked_at or now
        return now > self._locked_at + PATIENCE_SECONDS


def is_busy(error: DBAPIError) -> bool:
    """Whether another process has the database to itself."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in BUSY  # the primary code of an extended one
