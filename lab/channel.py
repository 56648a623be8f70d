"""The host's end of a connection to the agent in a machine (guest/agent.py).

A container listens on one UNIX socket, for any number of connections. A VM has a
few virtual serial ports, each a UNIX socket of qemu, for one connection each:
a lock file beside the socket says who has it.
"""

import fcntl
import os
import random
import secrets
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

from lab.errors import MachineGone

PORTS = 12  # so many commands at once in a VM; the agent waits for all of them
_HEADER = struct.Struct(">cI")
_CHUNK_BYTES = 32768


class Channel:
    """Frames to and from the agent. Closing it kills the command it carries."""

    def __init__(self, connection: socket.socket, lock: int | None) -> None:
        self._socket = connection
        self._lock = lock
        self._sending = threading.Lock()
        self._buffer = bytearray()

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Raises MachineGone when the machine is no longer there."""
        try:
            with self._sending:
                self._socket.settimeout(None)
                self._socket.sendall(_HEADER.pack(kind, len(payload)) + payload)
        except OSError as error:
            raise MachineGone("the machine is gone") from error

    def receive(self, deadline: float | None = None) -> tuple[bytes, bytes]:
        """The next frame. Raises TimeoutError at `deadline` (monotonic), or MachineGone."""
        while True:
            if len(self._buffer) >= _HEADER.size:
                kind, length = _HEADER.unpack_from(self._buffer)
                end = _HEADER.size + length
                if len(self._buffer) >= end:
                    payload = bytes(self._buffer[_HEADER.size : end])
                    del self._buffer[:end]
                    return kind, payload
            self._fill(deadline)

    def _fill(self, deadline: float | None) -> None:
        remaining = None if deadline is None else max(0.001, deadline - time.monotonic())
        self._wait(remaining)
        try:
            part = self._socket.recv(_CHUNK_BYTES)
        except OSError as error:
            raise MachineGone("the machine is gone") from error
        if not part:
            raise MachineGone("the machine is gone")
        self._buffer += part

    def _wait(self, seconds: float | None) -> None:
        # Not the socket's own timeout: another thread may be sending.
        poller = select.poll()
        try:
            poller.register(self._socket, select.POLLIN)
        except ValueError as error:  # closed by another thread
            raise MachineGone("the connection was closed") from error
        if not poller.poll(None if seconds is None else seconds * 1000):
            raise TimeoutError

    def greet(self, timeout_seconds: float) -> None:
        """Wait until the agent answers, and drop what an earlier command left behind."""
        nonce = secrets.token_bytes(16)
        frame = _HEADER.pack(b"L", len(nonce)) + nonce
        self.send(b"L", nonce)
        deadline = time.monotonic() + timeout_seconds
        while (found := self._buffer.find(frame)) < 0:
            self._fill(deadline)
        del self._buffer[: found + len(frame)]

    def close(self) -> None:
        with suppress(OSError):  # wakes a thread that is sending
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def connect(agent: Path, timeout_seconds: float) -> Channel:
    """A connection to the agent whose sockets are in the directory `agent`.

    Raises TimeoutError when it does not answer in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while (remaining := deadline - time.monotonic()) > 0:
        for path, lock in _candidates(agent):
            channel = _try(path, lock, min(5.0, remaining))
            if channel:
                return channel
            if time.monotonic() > deadline:
                break
        time.sleep(0.05)
    raise TimeoutError(f"no answer from the agent within {timeout_seconds:g} s")


def _candidates(agent: Path) -> list[tuple[Path, Path | None]]:
    if (agent / "agent.sock").exists():
        return [(agent / "agent.sock", None)]
    ports = list(agent.glob("port.*"))
    random.shuffle(ports)  # the port just left may still be tidying up
    return [(port, agent / f"lock.{port.suffix[1:]}") for port in ports]


def _try(path: Path, lock_path: Path | None, timeout_seconds: float) -> Channel | None:
    lock = None
    if lock_path:
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
    connection = socket.socket(socket.AF_UNIX)
    channel = Channel(connection, lock)
    with suppress(OSError, MachineGone):  # TimeoutError is an OSError
        connection.connect(str(path))
        channel.greet(timeout_seconds)
        return channel
    channel.close()
    return None
