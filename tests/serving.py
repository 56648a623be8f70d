"""An HTTP server of a test's own, as long as it is needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    """Have it serve in a thread; its URL."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def here(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """A server at a port of its own."""
    return ThreadingHTTPServer(("127.0.0.1", 0), handler)
