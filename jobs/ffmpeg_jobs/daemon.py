"""What each of our daemons does at birth and death: log, tell systemd, find its sockets.

The only user of pystemd (sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)).
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

# systemd reads "<N>" before a line as its priority (sd-daemon(3)).
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def set_up_logging(level: str = "info") -> None:
    """Log to stderr: for the journal with a priority prefix, on a terminal with colours."""
    for_journal = "JOURNAL_STREAM" in os.environ
    on_terminal = sys.stderr.isatty()
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        _escape,
    ]
    if not for_journal:
        processors.append(structlog.processors.TimeStamper(fmt="iso"))
    if on_terminal:
        processors.append(structlog.dev.ConsoleRenderer())
    else:
        processors.append(
            structlog.processors.LogfmtRenderer(key_order=["event"], bool_as_flag=False)
        )
        processors.append(_prefix if for_journal else _plain)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


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


def _plain(_logger: object, _method: str, line: str) -> str:
    return line


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
