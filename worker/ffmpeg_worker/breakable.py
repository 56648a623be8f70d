"""Connections that another thread may break: what waits for a silent server then ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias

#: How often it is asked whether the connections shall break.
ASK_SECONDS: Final = 0.2
#: Has a connection be shut down with the others.
Hold: TypeAlias = Callable[[socket.socket], None]


@contextmanager
def breakable(broken: Callable[[], bool]) -> Iterator[Hold]:
    """What takes connections, to shut them down for both sides once ``broken`` says so.

    Of each it keeps a second descriptor: below TLS, and open until we are done, so that its number
    is never somebody else's.
    """
    done = threading.Event()
    held: list[socket.socket] = []

    def watch() -> None:
        while not done.wait(ASK_SECONDS):
            for connection in list(held) if broken() else ():
                with suppress(OSError):  # it had just ended by itself
                    connection.shutdown(socket.SHUT_RDWR)

    watcher = threading.Thread(target=watch, name="breakable", daemon=True)
    watcher.start()
    try:
        yield lambda connection: held.append(connection.dup())
    finally:
        done.set()
        watcher.join()
        for connection in held:
            connection.close()
