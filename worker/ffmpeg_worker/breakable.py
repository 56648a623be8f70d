"""HTTP whose connections another thread may break: what waits for a silent server then ends."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

#: How often it is asked whether the connections shall break.
ASK_SECONDS: Final = 0.2


@contextmanager
def breakable(broken: Callable[[], bool]) -> Iterator[requests.Session]:
    """A session whose connections are shut down once ``broken`` says so; requests then raises
    what it does when the other side goes."""
    done = threading.Event()
    adapter = _Adapter()

    def watch() -> None:
        while not done.wait(ASK_SECONDS):
            if broken():
                adapter.shut_down()

    watcher = threading.Thread(target=watch, name="breakable", daemon=True)
    watcher.start()
    try:
        with requests.Session() as session:
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            yield session
    finally:
        done.set()
        watcher.join()
        adapter.forget()


class _Adapter(HTTPAdapter):
    """Keeps a second descriptor of each connection's socket: below TLS, and open until we are
    done, so that its number is never somebody else's."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        super().__init__()

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """As HTTPAdapter does, with connections that tell us of their sockets."""
        super().init_poolmanager(*args, **more)  # type: ignore[no-untyped-call]  # it has no types
        self.poolmanager.pool_classes_by_scheme = {
            "http": self._telling(HTTPConnectionPool),
            "https": self._telling(HTTPSConnectionPool),
        }

    def shut_down(self) -> None:
        """End all connections, for both sides."""
        for connection in list(self._sockets):
            with suppress(OSError):  # it had just ended by itself
                connection.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Close our descriptors."""
        for connection in self._sockets:
            connection.close()

    def _telling(self, pool: Any) -> Any:
        sockets = self._sockets

        class Connection(pool.ConnectionCls):  # type: ignore[misc]  # known at run time
            def connect(self) -> None:
                super().connect()
                sockets.append(socket.socket(fileno=os.dup(self.sock.fileno())))

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})
