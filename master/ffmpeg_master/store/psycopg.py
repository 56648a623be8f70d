"""psycopg2 among greenlets."""

from __future__ import annotations

import select
from typing import Any


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
