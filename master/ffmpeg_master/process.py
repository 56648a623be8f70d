"""The one process that serves: a greenlet per connection, so that a held claim costs little."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker


class Process(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's gevent worker that ends held claims and idle connections when it stops."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: set[Any] = set()  #: greenlets that wait for their client's next request

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Around the wait for a request: a connection may be silent for ``keepalive`` seconds."""
        me = gevent.getcurrent()
        with gevent.Timeout(self.cfg.keepalive, False):
            self._idle.add(me)
            try:
                yield
            finally:
                self._idle.discard(me)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: stop soon. Not in the handler itself: it may have interrupted a lock's owner."""
        super().handle_exit(sig, frame)
        gevent.spawn(self._stop)

    def _stop(self) -> None:
        self.app.stop()
        # Else the stop would wait for their keepalive to run out.
        gevent.killall(list(self._idle), block=False)
