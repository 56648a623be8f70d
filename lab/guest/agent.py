#!/usr/bin/python3
"""Inside the machine: runs the commands that the host asks for.

Each connection carries one command at a time, as frames: one letter, four bytes of length, payload.
From the host: L hello, R request, I stdin, E end of stdin, K signal, W window size. To the host: L
hello, O stdout, e stderr, X exit status. A connection that ends takes its command with it.
"""

import contextlib
import fcntl
import json
import os
import pty
import queue
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path
from typing import Any

PORTS = Path("/dev/virtio-ports")
PORT_COUNT = 12  # as many as channel.py has
SOCKET = Path("/run/lab/agent.sock")
HEADER = struct.Struct(">cI")
CHUNK_BYTES = 32768
LINGER_SECONDS = 0.3  # for output of a command that ended but left children
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


class Ended(Exception):
    """The host closed the connection."""


class Port:
    """A connection to the host, or a serial port that hosts come to one by one."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.writing = threading.Lock()
        os.set_blocking(fd, False)

    def wait(self, events: int, seconds: float) -> None:
        poller = select.poll()
        poller.register(self.fd, events)
        poller.poll(seconds * 1000)

    def gone(self) -> bool:
        poller = select.poll()
        poller.register(self.fd, 0)
        return any(event & (select.POLLHUP | select.POLLERR) for _, event in poller.poll(0))


class Link:
    """Frames over a port, for one command."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.closed = False

    def _read_exactly(self, count: int) -> bytes:
        parts = []
        while count:
            try:
                part = os.read(self.port.fd, min(count, CHUNK_BYTES))
            except BlockingIOError:
                # Now and then a serial port forgets to wake its reader.
                self.port.wait(select.POLLIN, 0.3)
                continue
            if not part:
                raise Ended
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def read(self) -> tuple[bytes, bytes]:
        try:
            kind, length = HEADER.unpack(self._read_exactly(HEADER.size))
            return kind, self._read_exactly(length)
        except OSError as error:
            raise Ended from error

    def write(self, kind: bytes, payload: bytes = b"") -> None:
        """Nothing is written once the link is closed: the next host must not get it.

        A serial port without a host blocks its writers until one comes, so
        this never waits without looking.
        """
        data = memoryview(HEADER.pack(kind, len(payload)) + payload)
        with self.port.writing, contextlib.suppress(BrokenPipeError, ConnectionError):
            while data and not self.closed:
                try:
                    data = data[os.write(self.port.fd, data) :]
                except BlockingIOError:
                    self.port.wait(select.POLLOUT, 0.1)


class Command:
    """One process in a session of its own, its streams tied to a link."""

    def __init__(self, link: Link, request: dict[str, Any]) -> None:
        self.link = link
        self.pending: queue.Queue[bytes | None] = queue.Queue(maxsize=16)
        self.terminal: int | None = None
        self.threads: list[threading.Thread] = []
        self.process = self._start(request)
        threading.Thread(target=self._wait, daemon=True).start()

    def _start(self, request: dict[str, Any]) -> "subprocess.Popen[bytes]":
        argv: list[str] = request["argv"]
        cwd: str = request.get("cwd") or "/root"
        env: dict[str, str] = {**ENVIRONMENT, **request.get("env", {})}
        if request.get("terminal"):
            return self._start_on_terminal(argv, cwd, env, request["terminal"])
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if request.get("stdin") else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        for stream, kind in ((process.stdout, b"O"), (process.stderr, b"e")):
            if stream:
                self._pump(os.dup(stream.fileno()), kind)
                stream.close()
        if process.stdin:
            inlet = os.dup(process.stdin.fileno())
            process.stdin.close()
            threading.Thread(target=self._feed, args=(inlet,), daemon=True).start()
        return process

    def _start_on_terminal(
        self, argv: list[str], cwd: str, env: dict[str, str], size: list[int]
    ) -> "subprocess.Popen[bytes]":
        self.terminal, inner = pty.openpty()
        self.resize(size)
        # util-linux's setsid gives the new session its terminal, without
        # running our code between fork and exec of a threaded process.
        process = subprocess.Popen(
            ["setsid", "--ctty", *argv], stdin=inner, stdout=inner, stderr=inner, cwd=cwd, env=env
        )
        os.close(inner)
        self._pump(os.dup(self.terminal), b"O")
        threading.Thread(target=self._feed, args=(self.terminal,), daemon=True).start()
        return process

    def _pump(self, fd: int, kind: bytes) -> None:
        def copy() -> None:
            with contextlib.suppress(OSError):  # a terminal ends with EIO
                while part := os.read(fd, CHUNK_BYTES):
                    self.link.write(kind, part)
            os.close(fd)

        thread = threading.Thread(target=copy, daemon=True)
        thread.start()
        self.threads.append(thread)

    def _feed(self, fd: int) -> None:
        with contextlib.suppress(OSError):  # the command closed its stdin
            while (part := self.pending.get()) is not None:
                view = memoryview(part)
                while view:
                    view = view[os.write(fd, view) :]
        if fd != self.terminal:
            os.close(fd)

    def _wait(self) -> None:
        status = self.process.wait()
        deadline = time.monotonic() + LINGER_SECONDS
        for thread in self.threads:
            # A daemon it left behind may hold the pipe open for ever.
            thread.join(max(0.0, deadline - time.monotonic()))
        self.link.write(b"X", json.dumps({"returncode": status}).encode())

    def feed(self, part: bytes | None) -> None:
        """Bounded, so that a large file does not pile up in memory."""
        while self.process.poll() is None:
            with contextlib.suppress(queue.Full):
                self.pending.put(part, timeout=0.2)
                return
            if self.link.port.gone():
                raise Ended

    def resize(self, size: list[int]) -> None:
        if self.terminal is not None:
            window = struct.pack("HHHH", size[0], size[1], 0, 0)
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, window)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def close(self) -> None:
        self.link.closed = True
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        with contextlib.suppress(queue.Full):
            self.pending.put_nowait(None)


def serve(port: Port) -> None:
    """Answer frames until the host goes away."""
    link = Link(port)
    command: Command | None = None
    try:
        while True:
            kind, payload = link.read()
            if kind in b"LR" and command:
                command.close()
                command = None
                link = Link(port)
            if kind == b"L":
                link.write(b"L", payload)
            elif kind == b"R":
                command = start(link, json.loads(payload))
            elif command and kind in b"IE":
                command.feed(payload if kind == b"I" else None)
            elif command and kind == b"K":
                command.signal(int(payload))
            elif command and kind == b"W":
                command.resize(json.loads(payload))
    except Ended:
        pass
    finally:
        if command:
            command.close()


def start(link: Link, request: dict[str, Any]) -> Command | None:
    try:
        return Command(link, request)
    except OSError as error:
        link.write(b"e", f"{request['argv'][0]}: {error.strerror}\n".encode())
        link.write(b"X", json.dumps({"returncode": 127}).encode())
        return None


def serve_ports(paths: list[Path]) -> None:
    """Virtual serial ports: one thread each, while the host is connected."""
    watch = select.epoll()
    idle = {Port(os.open(path, os.O_RDWR)) for path in paths}
    for port in idle:
        # The port wakes its waiters when the host connects; level-triggered
        # polling would spin on POLLHUP until then.
        watch.register(port.fd, select.EPOLLIN | select.EPOLLET)
    lock = threading.Lock()

    def session(port: Port) -> None:
        serve(port)
        with lock:
            idle.add(port)

    while True:
        watch.poll(0.5)
        with lock:
            ready = [port for port in idle if not port.gone()]
            idle.difference_update(ready)
        for port in ready:
            threading.Thread(target=session, args=(port,), daemon=True).start()


def serve_socket(path: Path) -> None:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)

    def session(connection: socket.socket) -> None:
        with connection:
            serve(Port(connection.fileno()))

    while True:
        connection, _ = listener.accept()
        threading.Thread(target=session, args=(connection,), daemon=True).start()


def main() -> None:
    if SOCKET.parent.is_dir():
        serve_socket(SOCKET)
    while len(ports := sorted(PORTS.glob("lab.*"))) < PORT_COUNT:
        time.sleep(0.1)
    serve_ports(ports)


if __name__ == "__main__":
    main()
