"""A command in a machine at the user's own terminal, or in the user's pipes."""

import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from lab.command import Command, Stream
from lab.errors import MachineGone
from lab.running import Machine, to_argv


def interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def run(machine: Machine, command: str | Sequence[str], timeout: float | None) -> int:
    """Run it with our standard streams; its exit status, 128 + N if signal N killed it."""
    if interactive():
        code = _on_terminal(machine, command, timeout)
    else:
        code = machine.stream(command, _relay, timeout=timeout, stdin=sys.stdin.buffer)
    return code if code >= 0 else 128 - code


def _relay(stream: Stream, part: bytes) -> None:
    target = sys.stdout.buffer if stream == "stdout" else sys.stderr.buffer
    target.write(part)
    target.flush()


def _on_terminal(machine: Machine, command: str | Sequence[str], timeout: float | None) -> int:
    size = os.get_terminal_size()
    env = {"TERM": os.environ.get("TERM", "dumb")}
    argv = to_argv(command)
    with (
        machine.popen(argv, env=env, terminal=(size.lines, size.columns)) as started,
        _raw(),
        _following_size(started),
    ):
        threading.Thread(target=_keys, args=(started,), daemon=True).start()
        return started.finish(timeout_seconds=timeout, listener=_relay).returncode


def _keys(command: Command) -> None:
    with suppress(MachineGone, OSError):
        while part := os.read(sys.stdin.fileno(), 4096):
            command.write(part)


@contextmanager
def _raw() -> Iterator[None]:
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@contextmanager
def _following_size(command: Command) -> Iterator[None]:
    def resize(*_: object) -> None:
        size = os.get_terminal_size()
        with suppress(MachineGone):
            command.resize(size.lines, size.columns)

    before = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
