"""How masters on one PostgreSQL hear each other: LISTEN and NOTIFY."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.troubles import Unreachable

_CHANNEL: Final = "ffmpeg_master"
#: PostgreSQL takes less than 8000 bytes.
NOTICE_MAX_BYTES: Final = 7900


class Line:
    """A connection of its own, for nothing else. Each method raises Unreachable."""

    def __init__(self, store: Store) -> None:
        self._connection: Any = store.connect_alone()
        with self._translated():
            self._connection.autocommit = True
            # A notice is gone after a power cut anyway: nobody needs to wait for the disk.
            self._run("SET synchronous_commit = off")
            self._run(f"LISTEN {_CHANNEL}")

    def fileno(self) -> int:
        """What is readable when there may be something to hear."""
        return int(self._connection.fileno())

    def tell(self, notice: str) -> None:
        """Tell all others, of at most NOTICE_MAX_BYTES."""
        with self._translated():
            self._run("SELECT pg_notify(%s, %s)", (_CHANNEL, notice))

    def heard(self) -> list[str]:
        """What others told since the last time."""
        with self._translated():
            self._connection.poll()
        mine = self._connection.info.backend_pid
        notices = [notice.payload for notice in self._connection.notifies if notice.pid != mine]
        del self._connection.notifies[:]
        return notices

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _run(self, statement: str, values: tuple[str, ...] = ()) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._connection.Error as error:
            raise Unreachable(f"the database does not answer: {error}") from error
