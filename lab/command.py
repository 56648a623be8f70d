"""A command in a machine, seen from the host."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Literal

from lab.channel import Channel
from lab.errors import CommandFailed, CommandTimeout, MachineGone

Stream = Literal["stdout", "stderr"]
Listener = Callable[[Stream, bytes], None]
_CHUNK_BYTES = 32768


@dataclass(frozen=True)
class Result:
    """How a command ended. A negative return code is the signal that killed it."""

    command: str
    returncode: int
    output: bytes
    errors: bytes

    @property
    def stdout(self) -> str:
        return self.output.decode(errors="replace")

    @property
    def stderr(self) -> str:
        return self.errors.decode(errors="replace")

    def check(self) -> "Result":
        """Itself, or CommandFailed if the exit status is not 0."""
        if self.returncode:
            raise CommandFailed(self.command, self.returncode, self.stdout, self.stderr)
        return self


class Command:
    """A running command. Use it as a context manager: leaving kills what still runs."""

    def __init__(
        self,
        channel: Channel,
        argv: Sequence[str],
        *,
        stdin: bool = False,
        env: dict[str, str] | None = None,
        cwd: str = "/root",
        terminal: tuple[int, int] | None = None,
    ) -> None:
        self.argv = list(argv)
        self.returncode: int | None = None
        self._channel = channel
        request = {"argv": self.argv, "stdin": stdin, "env": env or {}, "cwd": cwd}
        if terminal:
            request["terminal"] = list(terminal)
        channel.send(b"R", json.dumps(request).encode())

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def __str__(self) -> str:
        return self.argv[2] if self.argv[:2] == ["bash", "-c"] else " ".join(self.argv)

    def write(self, data: bytes) -> None:
        """Send to its standard input."""
        for start in range(0, len(data), _CHUNK_BYTES):
            self._channel.send(b"I", data[start : start + _CHUNK_BYTES])

    def close_stdin(self) -> None:
        self._channel.send(b"E")

    def send_signal(self, number: int = signal.SIGTERM) -> None:
        """To the command and all of its session's first process group."""
        self._channel.send(b"K", str(int(number)).encode())

    def resize(self, rows: int, columns: int) -> None:
        self._channel.send(b"W", json.dumps([rows, columns]).encode())

    def close(self) -> None:
        """Give it up: the agent kills what still runs."""
        self._channel.close()

    def events(self, timeout_seconds: float | None = None) -> Iterator[tuple[Stream, bytes]]:
        """What it writes, as it comes. Raises TimeoutError, MachineGone."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while self.returncode is None:
            kind, payload = self._channel.receive(deadline)
            if kind == b"X":
                self.returncode = int(json.loads(payload)["returncode"])
            elif kind == b"O":
                yield "stdout", payload
            elif kind == b"e":
                yield "stderr", payload

    def finish(
        self,
        stdin: bytes | IO[bytes] | None = None,
        timeout_seconds: float | None = None,
        listener: Listener | None = None,
    ) -> Result:
        """Feed it, collect what it writes, wait for its end. Raises CommandTimeout.

        With a listener, that gets the output as it comes, instead of the result.
        """
        if stdin is not None:
            threading.Thread(target=self._feed, args=(stdin,), daemon=True).start()
        parts: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}
        try:
            for stream, part in self.events(timeout_seconds):
                if listener:
                    listener(stream, part)
                else:
                    parts[stream].append(part)
        except TimeoutError as error:
            raise CommandTimeout(
                str(self),
                timeout_seconds or 0,
                b"".join(parts["stdout"]),
                b"".join(parts["stderr"]),
            ) from error
        except MachineGone as error:
            raise MachineGone(f"{error} (while running: {self})") from error
        finally:
            self.close()
        code = self.returncode if self.returncode is not None else -1
        return Result(str(self), code, b"".join(parts["stdout"]), b"".join(parts["stderr"]))

    def _feed(self, stdin: bytes | IO[bytes]) -> None:
        with suppress(MachineGone):  # it ended without reading all of it
            if isinstance(stdin, bytes):
                self.write(stdin)
            else:
                while part := os.read(stdin.fileno(), _CHUNK_BYTES):
                    self.write(part)
            self.close_stdin()
