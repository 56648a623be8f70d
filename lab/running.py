"""A machine that runs: start, commands, stop. What is in it: files.py, layers.py."""

import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from lab import container, files, kvm, vm
from lab.channel import Channel, connect
from lab.command import Command, Listener, Result
from lab.errors import BootError, CommandTimeout, LabError, MachineGone
from lab.process import alive, kill, throw_away, wait_for_end
from lab.progress import say
from lab.spec import Backend, Spec, load

LIMITS = ("cpu", "memory", "pids", "io")
TRIES = 3
BOOT_SECONDS = {"container": 60.0, "vm": 300.0}  # a loaded host emulates slowly
ANSWER_SECONDS = 30.0
COMMAND_SECONDS = 300.0


def to_argv(command: str | Sequence[str]) -> list[str]:
    """A string is a line for bash, a list is run as it is."""
    return ["bash", "-c", command] if isinstance(command, str) else list(command)


class Machine:
    """One booted Debian. Leaving its context throws it away, unless it is kept."""

    def __init__(self, spec: Spec, locks: Sequence[int] = ()) -> None:
        self.spec = spec
        self._locks = tuple(locks)
        self._process: subprocess.Popen[bytes] | None = None
        self._enforced: frozenset[str] | None = None

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_: object) -> None:
        if not self.spec.keep:
            self.destroy()

    def __repr__(self) -> str:
        return f"<Machine {self.name}>"

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def suite(self) -> str:
        return self.spec.suite

    @property
    def backend(self) -> Backend:
        return self.spec.backend

    @property
    def address(self) -> tuple[str, int]:
        """Where the host reaches port 8080 of the machine, if it was given a network."""
        return "127.0.0.1", self.spec.api_port or 8080

    @property
    def enforced(self) -> frozenset[str]:
        """Which of cpu, memory, pids and io the kernel enforces in this machine."""
        if self._enforced is None:
            done = self.run(["cat", "/sys/fs/cgroup/cgroup.controllers"])
            self._enforced = frozenset(done.stdout.split()) & frozenset(LIMITS)
        return self._enforced

    # Commands

    def _connect(self, timeout_seconds: float) -> Channel:
        deadline = time.monotonic() + timeout_seconds
        while alive(self.spec):
            try:
                return connect(self.spec.agent, 2.0)
            except TimeoutError as error:
                if time.monotonic() > deadline:
                    raise MachineGone(f"{self.name}: {error}") from error
        raise MachineGone(f"{self.name} is not running")

    def popen(
        self,
        command: str | Sequence[str],
        *,
        stdin: bool = False,
        env: dict[str, str] | None = None,
        cwd: str = "/root",
        terminal: tuple[int, int] | None = None,
    ) -> Command:
        """Start a command. Iterate its events(), or finish() it."""
        channel = self._connect(ANSWER_SECONDS)
        return Command(channel, to_argv(command), stdin=stdin, env=env, cwd=cwd, terminal=terminal)

    def run(
        self,
        command: str | Sequence[str],
        *,
        check: bool = False,
        timeout: float | None = COMMAND_SECONDS,
        stdin: bytes | str | IO[bytes] | None = None,
        env: dict[str, str] | None = None,
        cwd: str = "/root",
        user: str | None = None,
    ) -> Result:
        """Run a command to its end, as root or as `user`; timeout in seconds.

        Raises CommandTimeout (the command is killed then), MachineGone, and with
        `check` CommandFailed when its exit status is not 0.
        """
        argv = to_argv(command)
        if user:
            argv = ["runuser", "-u", user, "--", *argv]
        data = stdin.encode() if isinstance(stdin, str) else stdin
        started = self.popen(argv, stdin=data is not None, env=env, cwd=cwd)
        done = started.finish(data, timeout)
        return done.check() if check else done

    def stream(
        self,
        command: str | Sequence[str],
        listener: Listener,
        *,
        timeout: float | None = None,
        stdin: bytes | IO[bytes] | None = None,
    ) -> int:
        """Run a command; listener(stream, bytes) gets its output as it comes."""
        started = self.popen(command, stdin=stdin is not None)
        return started.finish(stdin, timeout, listener).returncode

    def wait_until(
        self, command: str | Sequence[str], timeout: float = 60.0, interval: float = 0.2
    ) -> Result:
        """Repeat a command until it succeeds. Raises LabError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            remaining = max(1.0, deadline - time.monotonic())
            done = self.run(command, timeout=remaining)
            if done.returncode == 0:
                return done
            if time.monotonic() > deadline:
                raise LabError(
                    f"not within {timeout:g} s: {done.command}\n{done.stdout}{done.stderr}"
                )
            time.sleep(interval)

    def journal(self, unit: str | None = None, lines: int = 300) -> str:
        """The end of its journal, for the report of a failure."""
        of_unit = ["-u", unit] if unit else []
        return self.run(
            ["journalctl", "--no-pager", "--output=short-precise", f"--lines={lines}", *of_unit]
        ).stdout

    # Files

    def push(self, local: str | Path, remote: str) -> None:
        """Copy a file or directory into the machine, to exactly that path."""
        files.push(self.popen, Path(local), remote)

    def pull(self, remote: str, local: str | Path) -> None:
        """Copy a file or directory out of the machine, to exactly that path."""
        files.pull(self.popen, remote, Path(local))

    def write(self, remote: str, text: str | bytes, mode: int = 0o644) -> None:
        """Make a file in the machine, its directory too where that is missing."""
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"'
        self.run(["sh", "-c", script, "sh", remote, f"{mode:o}"], stdin=text, check=True)

    def read(self, remote: str) -> str:
        return self.run(["cat", "--", remote], check=True).stdout

    def install(self, debs: Sequence[str | Path], timeout: float = 900.0) -> Result:
        """`apt install` these packages, with what they depend on; works offline."""
        return files.install(self.popen, [Path(deb) for deb in debs], timeout)

    # Life

    def start(self) -> None:
        """Boot it, again if the kernel dies early. Raises BootError."""
        backend = vm if self.backend == "vm" else container
        for attempt in range(1, TRIES + 1):
            process = backend.start(self.spec, self._locks)
            self._process = process
            (self.spec.run / "pid").write_text(str(process.pid))
            reason = self._wait_for_boot(process)
            if not reason:
                return
            hung = process.poll() is None
            self._kill()
            if hung and self.backend == "vm":
                kvm.distrust(self.spec.kernel)
            say(f"{self.name} did not boot ({reason}), try {attempt} of {TRIES}")
        console = self.spec.console.read_text(errors="replace")[-3000:]
        raise BootError(f"{self.name} did not boot: {reason}; the end of its console:\n{console}")

    def _wait_for_boot(self, process: "subprocess.Popen[bytes]") -> str:
        """Empty when it is up, else what went wrong."""
        deadline = time.monotonic() + BOOT_SECONDS[self.backend]
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return f"it ended with {process.returncode}"
            with suppress(TimeoutError):
                connect(self.spec.agent, 1.0).close()
                break
        else:
            return f"no answer within {BOOT_SECONDS[self.backend]:g} s"
        return self._wait_for_systemd(deadline)

    def _wait_for_systemd(self, deadline: float) -> str:
        try:
            if self.backend == "vm" and self.spec.network:
                self.run(files.VM_NETWORK, check=True)
            remaining = max(10.0, deadline - time.monotonic())
            done = self.run(["systemctl", "is-system-running", "--wait"], timeout=remaining)
        except (CommandTimeout, MachineGone) as error:
            return str(error).strip()
        if done.stdout.strip() == "degraded":
            failed = self.run("systemctl --failed --plain --no-legend | cut -d' ' -f1")
            say(f"{self.name}: failed units: {' '.join(failed.stdout.split())}")
        return ""

    def reboot(self) -> None:
        """Shut it down in order, and boot it again from the same disk."""
        self.power_off()
        self.start()

    def power_off(self, timeout_seconds: float = 120.0) -> None:
        """Shut it down in order; start() boots it again. Raises LabError if it will not."""
        with suppress(MachineGone):
            self.run(["systemctl", "poweroff", "--no-block"], timeout=ANSWER_SECONDS)
        if not wait_for_end(self.spec, timeout_seconds):
            raise LabError(f"{self.name} did not shut down within {timeout_seconds:g} s")
        self._reap()

    def power_cut(self, *, start: bool = True) -> None:
        """End it at once, as when the power fails, and boot it again from the same disk."""
        self._kill()
        if start:
            self.start()

    def _kill(self) -> None:
        kill(self.spec)
        self._reap()

    def _reap(self) -> None:
        if self._process:
            self._process.wait()
            self._process = None
        if self.backend == "container":
            container.forget_cgroup(self.spec)

    def destroy(self) -> None:
        """Throw it away, with all its changes."""
        self._kill()
        throw_away(self.spec)
        for lock in self._locks:
            os.close(lock)
        self._locks = ()


def attach(name: str) -> Machine:
    """A machine that another process started. Raises LabError when there is none."""
    try:
        return Machine(load(name))
    except FileNotFoundError as error:
        raise LabError(f"no machine is called {name!r}; see lab/run --list") from error
