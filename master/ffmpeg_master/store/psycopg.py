"""psycopg2 among greenlets, and without the round trips that it makes to begin."""

from __future__ import annotations

import select
from typing import Any, Final

from sqlalchemy import event

#: No transaction is open (libpq's PQTRANS_IDLE).
_IDLE: Final = 0


def wait_as_python_waits() -> None:
    """Have it wait for PostgreSQL as Python does, so that under gevent only this greenlet waits.

    Raises ModuleNotFoundError: it is not installed where SQLite does.
    """
    from psycopg2 import extensions  # noqa: PLC0415

    untyped: Any = extensions
    untyped.set_wait_callback(_wait)


def _wait(connection: Any) -> None:
    from psycopg2 import extensions  # noqa: PLC0415

    directions = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}
    while (state := connection.poll()) != extensions.POLL_OK:
        poll = select.poll()
        poll.register(connection.fileno(), directions[state])
        poll.poll()


def begin_along(engine: Any) -> None:
    """Have a transaction begin with its first statement, in one message.

    What begins it is the option ``begin``; the driver has to be in its mode "autocommit", in which
    it begins and ends none.
    """
    event.listen(engine, "before_cursor_execute", _begin, retval=True)
    # In the dialect's place, so that SQLAlchemy deals with what they raise.
    engine.dialect.do_commit = lambda connection: _end(connection, "COMMIT")
    engine.dialect.do_rollback = lambda connection: _end(connection, "ROLLBACK")


def _begin(
    connection: Any, cursor: Any, text: str, parameters: Any, _context: Any, many: bool
) -> tuple[str, Any]:
    begin = connection.get_execution_options().get("begin")
    if begin is None or cursor.connection.get_transaction_status() != _IDLE:
        return text, parameters
    if many:  # sent in parts
        cursor.execute(begin)
        return text, parameters
    return f"{begin}; {text}", parameters


def _end(connection: Any, how: str) -> None:
    if connection.get_transaction_status() != _IDLE:
        with connection.cursor() as cursor:
            cursor.execute(how)
