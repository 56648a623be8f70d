"""The one process that serves: a greenlet per connection, so that a held claim costs little."""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, Final

import gevent
import structlog
from gevent.server import StreamServer
from gunicorn.http.errors import ParseException
from gunicorn.workers.ggevent import GeventWorker

from ffmpeg_jobs import problems
from ffmpeg_master import framing, tls
from ffmpeg_master.crowd import Crowd

log = structlog.get_logger()

#: A connection that sends no whole request in this time is closed; a stop waits no longer.
_FIRST_REQUEST_SECONDS: Final = 10
#: At a stop, a connection that just had an answer may ask once more, and is told in that answer
#: that it ends; a request on its way to one that ends untold would be lost.
_LAST_REQUEST_SECONDS: Final = 0.5
#: Between two looks whether all have gone.
_LOOK_SECONDS: Final = 0.02
#: As many as webhooks are sent at once; gevent's own number is 10.
_LOOK_UPS_MOST: Final = 128


@dataclass(frozen=True)
class _Listener:
    """A socket's name, known also when a stop closed it while a connection shook hands."""

    name: Any

    def getsockname(self) -> Any:
        """All that gunicorn asks."""
        return self.name


class Process(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's gevent worker that ends held claims and idle connections when it stops."""

    wsgi: Any  #: the application

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tls: ssl.SSLContext | None = None
        self._crowd: Any = None
        self._stopping = False
        self._main: Any = None
        self._servers: list[StreamServer] = []
        self._listeners: dict[Any, _Listener] = {}
        self._clients: dict[Any, socket.socket] = {}  #: by greenlet
        self._served: set[socket.socket] = set()  #: those whose first request was awaited
        self._idle: set[socket.socket] = set()  #: of them, those whose next request is awaited

    def run(self) -> None:
        """Serve. The certificate is read once: its files may be replaced, one by one."""
        self._tls = tls.make_context(self.app.config)  # after gevent's patches
        # Names of hosts are looked up there; one that nobody answers for takes a place for long.
        gevent.get_hub().threadpool.maxsize = _LOOK_UPS_MOST
        self._crowd = Crowd(self.app.config)
        self._listeners = {sock: _Listener(sock.getsockname()) for sock in self.sockets}
        self._main = gevent.getcurrent()
        super().run()

    def server_class(self, sock: Any, *, spawn: Any, **_of_wsgi: Any) -> StreamServer:
        """What accepts the connections of a socket; gunicorn's own is not to be reached."""
        server = StreamServer(sock, handle=partial(self.handle, sock), spawn=spawn)
        self._servers.append(server)
        return server

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        """Serve one connection, unless its address has too many."""
        with self._crowd.place(addr) as is_let_in:
            if is_let_in:
                self._serve(listener, client, addr)
            else:
                client.close()

    def _serve(self, listener: Any, client: socket.socket, addr: Any) -> None:
        if self._tls is not None:
            encrypted = _shake_hands(self._tls, client)
            if encrypted is None:
                return
            client = encrypted
        me = gevent.getcurrent()
        self._clients[me] = client
        try:
            super().handle(self._listeners[listener], client, addr)
        finally:
            del self._clients[me]
            self._served.discard(client)

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Around the wait for a request: the first comes soon, the next within ``keepalive``.

        It is waited for no more if what is left of the last one's body is none.
        """
        with suppress(*framing.BROKEN), self._awaited():
            yield

    @contextmanager
    def _awaited(self) -> Iterator[None]:
        client = self._clients[gevent.getcurrent()]
        if client not in self._served:
            self._served.add(client)
            with gevent.Timeout(_FIRST_REQUEST_SECONDS, False):
                yield
            return
        self._idle.add(client)
        try:
            with gevent.Timeout(
                _LAST_REQUEST_SECONDS if self._stopping else self.cfg.keepalive, False
            ):
                yield
        finally:
            self._idle.discard(client)

    def load_wsgi(self) -> None:
        """Take the application, its answers in pieces."""
        super().load_wsgi()
        answer = self.wsgi
        self.wsgi = lambda environ, start: framing.in_pieces(answer(environ, start))

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Serve one request, in time."""
        framing.check(req)
        framing.pace(req, sock)
        if self._stopping:
            req.force_close()
        try:
            super().handle_request(listener_name, req, sock, addr)
        except TimeoutError:
            log.debug("answer_not_taken", address=str(addr))
            raise framing.TooSlow("the answer was not taken") from None
        finally:
            sock.settimeout(None)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Refuse what is no HTTP, before there is a request for the application."""
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        problem = problems.MalformedRequest(str(exc))
        log.debug("malformed_request", detail=problem.detail)
        body = json.dumps(problem.to_json()).encode()
        head = (
            f"HTTP/1.1 {problem.status} Bad Request\r\nConnection: close\r\n"
            f"Content-Type: {problems.MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with suppress(OSError):
            client.sendall(head.encode() + body)

    def handle_exit(self, _sig: int, _frame: FrameType | None) -> None:
        """SIGTERM: stop soon. Not in the handler itself: it may have interrupted a lock's owner."""
        if not self._stopping:
            self._stopping = True
            gevent.spawn(self._stop)

    def _stop(self) -> None:
        """End what is held and who is idle. Who comes meanwhile is served: nobody else would."""
        until = time.monotonic() + self.cfg.graceful_timeout
        here = tuple(self._clients)
        self.app.stop()
        gevent.sleep(_LAST_REQUEST_SECONDS)
        # Else the stop would wait for their keepalive to run out.
        for client in self._idle:
            _hear_no_more(client)
        _wait_while(lambda: any(map(self._clients.__contains__, here)), until)
        for server in self._servers:
            server.stop_accepting()
        _wait_while(lambda: any(len(server.pool) for server in self._servers), until)
        # gunicorn itself would look each second whether it is to end.
        gevent.kill(self._main, SystemExit)


def _wait_while(busy: Callable[[], bool], until: float) -> None:
    """``until`` monotonic seconds at most."""
    while busy() and time.monotonic() < until:
        gevent.sleep(_LOOK_SECONDS)


def _hear_no_more(client: socket.socket) -> None:
    """What has arrived is still read and answered; then comes the end (shutdown(2))."""
    # Of the socket below TLS, whose own shutdown would forget the encryption at once.
    with suppress(OSError), socket.socket(fileno=os.dup(client.fileno())) as below:
        below.shutdown(socket.SHUT_RD)


def _shake_hands(context: ssl.SSLContext, client: socket.socket) -> socket.socket | None:
    """The connection, encrypted; None: there was no TLS with the client in time."""
    try:
        with gevent.Timeout(_FIRST_REQUEST_SECONDS, OSError("no handshake")):
            return context.wrap_socket(client, server_side=True)
    except OSError as error:
        log.debug("no_tls", detail=str(error))
        client.close()
        return None
