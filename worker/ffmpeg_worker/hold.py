"""Step 3: start a holder, which waits at its gate: our child, in our own cgroup.

SIGTERM is blocked in it from before its first instruction on: a stop must not take its last words
away.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import structlog

from ffmpeg_worker import holder, nursery
from ffmpeg_worker.holder import SINK, SOURCE
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.prepare import NOTHING, Opened
from ffmpeg_worker.syscalls import program

HOLDER: Final = Path(holder.__file__)
NURSERY: Final = Path(nursery.__file__)
#: Who starts a job now mostly starts another soon; a worker at rest needs no nursery.
IDLE_SECONDS: Final = 30.0
#: It answers within a millisecond, and starts in thirty.
ANSWER_SECONDS: Final = 5.0
NO_OTHERS: Final[Mapping[int, int]] = MappingProxyType({})

log = structlog.get_logger()


@dataclass(frozen=True)
class Held:
    """A holder that waits at its gate."""

    pid: int
    pidfd: int
    gate: socket.socket  #: its command goes in; its end of file comes when the command has ended


class Nursery:
    """Where holders are forked, from the first that is asked for until none was for a while."""

    def __init__(self) -> None:
        """Starts at the first use."""
        self._at: tuple[int, socket.socket] | None = None  #: its pid, our child, and the line to it
        self._idle: asyncio.TimerHandle | None = None

    def fork(self, arguments: list[str], descriptors: list[int]) -> int | None:
        """The pid of a holder; None where no nursery can be had. Raises OSError.

        ``descriptors``: its gate, and those that its arguments name.
        """
        packet = "\0".join(arguments).encode("utf-8", "surrogateescape")
        line = self._line()
        if line is None:
            return None
        try:
            socket.send_fds(line, [packet], descriptors)
            pid = int(line.recv(nursery.PACKET_BYTES) or -errno.EPIPE)
        except OSError as error:  # a holder that it started all the same ends at its gate
            self.close()
            raise OSError(error.errno or errno.ETIMEDOUT, "the nursery does not answer") from None
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid

    def close(self) -> None:
        """End it. Its holders are none of its own, and go on."""
        if self._at is not None:
            pid, line = self._at
            self._at = None
            line.close()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _line(self) -> socket.socket | None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.close)
        if self._at is not None and os.waitid(os.P_PID, self._at[0], _ENDED) is not None:
            self.close()  # somebody killed it
        if self._at is None:
            ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with its:
                self._at = _spawn(NURSERY, [], its.fileno()), ours
            ours.settimeout(ANSWER_SECONDS)
            try:
                ready = ours.recv(nursery.PACKET_BYTES) == nursery.READY
            except OSError:
                ready = False
            if not ready:
                log.warning("no_nursery")
                self.close()
        return None if self._at is None else self._at[1]


_ENDED: Final = os.WEXITED | os.WNOHANG | os.WNOWAIT


def hold(plan: Plan, nursery: Nursery, opened: Opened = NOTHING) -> Held:
    """Start the holder, with what was opened for it, beside the filter of the job's system calls.
    Raises OSError."""
    Path(plan.directory, holder.FILTER).write_bytes(program())
    passed = {SOURCE: opened.source, SINK: opened.sink}
    named = {number: fd for number, fd in passed.items() if fd is not None}
    arguments = [plan.directory, *map(str, named)]
    its, gate = socket.socketpair()
    try:
        pid = nursery.fork(arguments, [its.fileno(), *named.values()])
        pid = pid or _spawn(HOLDER, arguments, its.fileno(), named)
        return Held(pid, os.pidfd_open(pid), gate)
    except OSError:
        gate.close()  # a holder that was started all the same ends by that
        raise
    finally:
        its.close()


def _spawn(
    program: Path, arguments: list[str], standard_input: int, named: Mapping[int, int] = NO_OTHERS
) -> int:
    """Start a program that needs nothing of us, without any code of ours between fork and exec.

    ``named``: its descriptors by the numbers that they have there.
    """
    # Above all those numbers, so that none is overwritten before it was copied.
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(named) + 1) for fd in named.values()]
    try:
        return _spawn_with(program, arguments, standard_input, zip(high, named, strict=True))
    finally:
        for fd in high:
            os.close(fd)


def _spawn_with(
    program: Path, arguments: list[str], standard_input: int, named: Iterable[tuple[int, int]]
) -> int:
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", str(program), *arguments],
        {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, standard_input, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            *((os.POSIX_SPAWN_DUP2, ours, its) for ours, its in named),
        ],
        setsid=True,
        setsigmask=[signal.SIGTERM],
    )
