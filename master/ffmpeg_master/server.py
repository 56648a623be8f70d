"""gunicorn, embedded: sockets, the serving process, and what systemd is told.

The main process opens the sockets, keeps one serving process alive, and asks it for its
health over the real socket: the first answer is READY=1, the later ones are WATCHDOG=1.
It imports nothing of the application.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import AppImportError

from ffmpeg_jobs.daemon import tell_systemd, watchdog_seconds
from ffmpeg_jobs.settings import ConfigError
from ffmpeg_master import signing, tls
from ffmpeg_master.config import Config

log = structlog.get_logger()

#: The application could not be opened as configured (gunicorn's APP_LOAD_ERROR).
CANNOT_OPEN_STATUS: Final = Arbiter.APP_LOAD_ERROR

_HEALTH_TIMEOUT_SECONDS: Final = 5.0
_GUNICORN: Final = {
    # One process on SQLite: several that write would wait for each other for seconds.
    "workers": 1,
    "worker_class": "ffmpeg_master.process.Process",
    "logger_class": "ffmpeg_master.server.Log",
    # Two for each waiting worker: a held claim, and its heartbeats. LimitNOFILE is above.
    "worker_connections": 32768,
    "keepalive": 75,  # seconds: longer than a claim is held and than a heartbeat takes
    "graceful_timeout": 20,  # seconds for requests in flight at a stop
    # Seconds: a serving process that stands still this long is replaced. The first start on a
    # slow machine, with all imports and migrations, must fit in.
    "timeout": 120,
}


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """What gunicorn runs. ``read_config`` is called at the start and at each reload."""

    def __init__(self, read_config: Callable[[], Config]) -> None:
        """Raises ConfigError."""
        self._read_config = read_config
        self._config = read_config()
        self._bind = self._config.bind
        _check(self._config)
        self._serving: Any = None
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its settings."""
        own = {
            # A changed bind needs a restart: a reload would close systemd's sockets.
            "bind": [self._bind],
        }
        for name, value in (_GUNICORN | own).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The application, in the serving process."""
        from ffmpeg_master import serving  # noqa: PLC0415 - after gevent's patches

        try:
            self._serving = serving.Serving(self._config)
        except serving.CANNOT_OPEN as error:
            raise AppImportError(f"ffmpeg-master: {error}") from error
        return self._serving.app

    @property
    def config(self) -> Config:
        """As it was read last."""
        return self._config

    def stop(self) -> None:
        """The serving process is about to end."""
        if self._serving is not None:
            self._serving.stop()

    def read_config_again(self, opened: Sequence[socket.socket]) -> bool:
        """Take the configuration as it is now, for the sockets that stay open.

        False: it cannot be used, nothing changes.
        """
        try:
            config = self._read_config()
            _check(config, opened)
        except ConfigError as error:
            log.error("reload_refused", detail=str(error))
            return False
        self._config = config
        return True

    def run(self) -> None:
        """Serve until a signal ends it; leaves by SystemExit."""
        _Main(self).run()


class _Main(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's main process, which says READY only when it is true."""

    _ready = False
    _next_beat = 0.0  #: monotonic seconds

    def start(self) -> None:
        """Open the sockets."""
        # gunicorn would say READY=1 here, before any serving process exists.
        address = os.environ.pop("NOTIFY_SOCKET", None)
        super().start()
        if address is not None:
            os.environ["NOTIFY_SOCKET"] = address

    def sleep(self) -> None:
        """Called in each turn of the main loop."""
        every = watchdog_seconds()
        if not self._ready:
            self._ready = self._healthy() == 200
            if self._ready:
                address = self.LISTENERS[0].sock.getsockname()
                tell_systemd(READY=1, STATUS=f"serving at {_words(address)}")
                log.info("ready", address=_words(address))
        elif every and time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + every / 2
            # A broken database is told by 503: the process answers, a restart mends nothing.
            if self._healthy() in (200, 503):
                tell_systemd(WATCHDOG=1)
        super().sleep()

    def _healthy(self) -> int | None:
        encrypted = self.app.config.tls_certificate is not None
        address, family = self.LISTENERS[0].sock.getsockname(), self.LISTENERS[0].FAMILY
        return ask_health(address, family, encrypted)

    def handle_hup(self) -> None:
        """Reload; ready again when a serving process answers."""
        if not self.app.read_config_again([listener.sock for listener in self.LISTENERS]):
            return
        tell_systemd(RELOADING=1)
        self._ready = False
        super().handle_hup()

    def stop(self, graceful: bool = True) -> None:
        """End the serving process."""
        tell_systemd(STOPPING=1)
        super().stop(graceful)


def _check(config: Config, opened: Sequence[socket.socket] | None = None) -> None:
    """Raises ConfigError for files that do not serve what they are for."""
    tls.check(config, opened)
    if config.secret_file is not None:
        signing.read_secrets(config.secret_file)


def ask_health(address: Any, family: int, encrypted: bool) -> int | None:
    """The status of GET /health at one of our own sockets; None: no answer in time."""
    connection = HTTPConnection("localhost", timeout=_HEALTH_TIMEOUT_SECONDS)
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        connection.sock = sock
        sock.settimeout(_HEALTH_TIMEOUT_SECONDS)
        sock.connect(address)
        if encrypted:
            # Our own socket; its certificate bears the name that clients use, not this one.
            context = ssl._create_unverified_context()  # noqa: S323
            connection.sock = context.wrap_socket(sock)
        connection.request("GET", "/health", headers={"Connection": "close"})
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _words(address: Any) -> str:
    if isinstance(address, str):
        return address
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


class Log:
    """gunicorn's messages in our log: its chatter at debug, its worries as they are."""

    def __init__(self, _cfg: object) -> None:
        self.loglevel = "info"

    def debug(self, message: str, *args: object, **_more: object) -> None:
        """Chatter."""
        log.debug("gunicorn", message=message % args if args else message)

    info = debug

    def warning(self, message: str, *args: object, **_more: object) -> None:
        """A worry."""
        log.warning("gunicorn", message=message % args if args else message)

    def error(self, message: str, *args: object, **_more: object) -> None:
        """A fault."""
        log.error("gunicorn", message=message % args if args else message)

    critical = error

    def exception(self, message: str, *args: object, **_more: object) -> None:
        """A fault, with its traceback."""
        log.exception("gunicorn", message=message % args if args else message)

    def access(self, *_args: object) -> None:
        """Each request: the audit log says what matters."""

    def reopen_files(self) -> None:
        """There are none."""

    def close_on_exec(self) -> None:
        """There are none."""
