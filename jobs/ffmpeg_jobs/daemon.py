"""What each of our daemons does at birth and death: log, tell systemd, find its sockets.

The only user of pystemd (sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3),
sd_journal_sendv(3)).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from typing import Any

import structlog
from pystemd import daemon as systemd
from pystemd import journal

# systemd reads "<N>" before a line as its priority (sd-daemon(3)).
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


#: Of a traceback, in one entry of the log.
TRACEBACK_CHARACTERS = 16_000
#: Of the journal's fields that are ours: ``journalctl FFMPEG_JOB=ID``.
_FIELD = "FFMPEG_"


class _Journal:
    """The journal's own door, where an entry has fields; one line of stderr has only a text."""

    def __init__(self, *_: object) -> None:
        self._name = os.path.basename(sys.argv[0])  # noqa: PTH119 - may be no path

    def debug(self, **fields: str) -> None:
        """Send an entry."""
        journal.sendv(SYSLOG_IDENTIFIER=self._name, **fields)

    info = warning = error = critical = debug


def set_up_logging(level: str = "info") -> None:
    """Log to the journal with its fields if it is what stderr leads to; else lines to stderr, on
    a terminal with colours."""
    factory = _Journal if _is_journal() else structlog.PrintLoggerFactory(sys.stderr)
    _configure(level, _rendering(), factory)


def set_up_journal() -> None:
    """Log to the journal, if there is one, wherever stderr leads to: somebody runs a command."""
    _configure("info", [_Fields(_logfmt())], _Journal)


def _configure(level: str, rendering: list[Any], factory: Any) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _cut,
            _escape,
            *rendering,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )


def _is_journal() -> bool:
    """Whether stderr is the stream that systemd made for us (JOURNAL_STREAM in systemd.exec(5))."""
    stream = os.environ.get("JOURNAL_STREAM")
    if stream is None:
        return False
    found = os.fstat(2)
    return stream == f"{found.st_dev}:{found.st_ino}"


def _logfmt() -> Any:
    return structlog.processors.LogfmtRenderer(key_order=["event"], bool_as_flag=False)


def _rendering() -> list[Any]:
    logfmt = _logfmt()
    if _is_journal():
        return [_Fields(logfmt)]
    if "JOURNAL_STREAM" in os.environ:  # it is elsewhere: what reads us may know priorities
        return [logfmt, _prefix]
    time = structlog.processors.TimeStamper(fmt="iso")
    return [time, structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else logfmt]


class _Fields:
    """An event as fields of the journal, beside the line that people read."""

    def __init__(self, render: Any) -> None:
        self._render = render

    def __call__(self, logger: object, method: str, event: Any) -> dict[str, str]:
        own = {
            f"{_FIELD}{name.upper()}": f"{value}"
            for name, value in event.items()
            if value is not None
        }
        line = self._render(logger, method, event)
        return own | {"MESSAGE": line, "PRIORITY": f"{_PRIORITY.get(method, 6)}"}


def _cut(_logger: object, _method: str, event: Any) -> Any:
    """A traceback by its ends: of endless calls with a long path in each, it has megabytes."""
    text = event.get("exception")
    if text is not None and len(text) > TRACEBACK_CHARACTERS:
        half = TRACEBACK_CHARACTERS // 2
        words = f"[... {len(text) - 2 * half} characters left out ...]"
        event["exception"] = f"{text[:half]}\n{words}\n{text[-half:]}"
    return event


def _escape(_logger: object, _method: str, event: Any) -> Any:
    """No value may begin a line, which would look like one of ours, or steer a terminal."""
    for name, value in event.items():
        if name == "exception":
            event[name] = "\n  ".join(map(_printable, value.split("\n")))
        elif value is not None and not isinstance(value, (bool, int, float)):
            event[name] = _printable(f"{value}")
    return event


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _prefix(_logger: object, method: str, line: str) -> str:
    return f"<{_PRIORITY.get(method, 6)}>{line}"


def tell_systemd(**states: str | int) -> None:
    """Send sd_notify states, such as ``READY=1``; nothing happens without a NOTIFY_SOCKET."""
    if "NOTIFY_SOCKET" in os.environ:
        systemd.notify(False, *(f"{name}={value}" for name, value in states.items()))


def watchdog_seconds() -> float | None:
    """How often to say ``WATCHDOG=1``: half of WatchdogSec (sd_watchdog_enabled(3)), or None."""
    usec = systemd.watchdog_enabled(False)
    return usec / 2e6 if usec else None


async def feed_watchdog() -> None:
    """Tell systemd that this loop turns, twice per WatchdogSec; never returns."""
    pause = watchdog_seconds()
    while pause is not None:
        tell_systemd(WATCHDOG=1)
        await asyncio.sleep(pause)
    await asyncio.Event().wait()


def inherited_sockets() -> list[socket.socket]:
    """The sockets that systemd listens on for us, taken over once; empty without activation."""
    count = systemd.listen_fds(True)
    first = systemd.LISTEN_FDS_START
    return [socket.socket(fileno=fd) for fd in range(first, first + count)]
