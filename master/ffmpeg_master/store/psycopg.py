"""psycopg2 among greenlets, and without the round trips that nobody waits for.

A transaction begins in the message of its first statement. A statement whose outcome nobody reads
goes in the message of the next one, or of the end.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import event

Statement = TypeVar("Statement", bound=Any)

#: No transaction is open (libpq's PQTRANS_IDLE).
_IDLE: Final = 0
UNREAD: Final = "unread"
#: Execution options of a statement whose outcome nobody reads this time.
NOT_READ: Final = {UNREAD: True}


def unread(statement: Statement) -> Statement:
    """``statement``, whose outcome nobody ever reads; what it raises comes by the end of its
    transaction at the latest. Of several rows each is a statement of its own: it is for a few.

    An INSERT has to be ``inline()`` if its table makes the key, which is an outcome too.
    """
    marked: Statement = statement.execution_options(**NOT_READ)
    return marked


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


def spare_round_trips(engine: Any) -> None:
    """Have an engine send in one message what can be.

    What begins a transaction is the option ``begin``; the driver has to be in its mode
    "autocommit", in which it begins and ends none.
    """
    messages = _Messages()
    event.listen(engine, "do_execute", messages.send)
    event.listen(engine, "do_executemany", messages.send_many)
    # In the dialect's place, so that SQLAlchemy deals with what they raise.
    engine.dialect.do_commit = messages.commit
    engine.dialect.do_rollback = messages.roll_back


class _Messages:
    """What each connection of the driver's was not sent yet."""

    def __init__(self) -> None:
        self._unsent: WeakKeyDictionary[Any, list[bytes]] = WeakKeyDictionary()

    def send(self, cursor: Any, text: str, values: Any, context: Any) -> bool:
        """Execute, in the driver's place; True, it is done."""
        self._say(cursor, context, [cursor.mogrify(text, values)])
        return True

    def send_many(self, cursor: Any, text: str, rows: Sequence[Any], context: Any) -> bool:
        """Execute several, if the driver has no better way: one INSERT of all rows."""
        own = not context.isinsert or bool(context.execution_options.get(UNREAD))
        self._say(cursor, context, [cursor.mogrify(text, row) for row in rows if own])
        return own

    def _say(self, cursor: Any, context: Any, words: list[bytes]) -> None:
        said = self._unsent.pop(cursor.connection, None) or _beginning(cursor, context)
        if words and context.execution_options.get(UNREAD):
            self._unsent[cursor.connection] = said + words
        elif said or words:
            cursor.execute(b"; ".join(said + words))

    def commit(self, connection: Any) -> None:
        """Send the rest, and the end."""
        _end(connection, [*self._unsent.pop(_driver(connection), []), b"COMMIT"])

    def roll_back(self, connection: Any) -> None:
        """Forget the rest."""
        self._unsent.pop(_driver(connection), None)
        _end(connection, [b"ROLLBACK"])


def _driver(connection: Any) -> Any:
    """The driver's own connection; SQLAlchemy's first one has no wrapping."""
    return getattr(connection, "dbapi_connection", connection)


def _beginning(cursor: Any, context: Any) -> list[bytes]:
    begin = context.root_connection.get_execution_options().get("begin")
    idle = cursor.connection.get_transaction_status() == _IDLE
    return [begin.encode()] if begin is not None and idle else []


def _end(connection: Any, words: list[bytes]) -> None:
    if len(words) > 1 or connection.get_transaction_status() != _IDLE:
        with connection.cursor() as cursor:
            cursor.execute(b"; ".join(words))
