"""The holder: a tiny process that waits at a pipe, is put into the scope, then runs the job.

It stands alone: standard library only, started as ``python3 -I -S holder.py DIRECTORY``.
Standard input is the gate: one byte opens it, end of file (the worker died) closes it for
good. Because it is inside the scope before it starts anything, the job is limited from its
first instruction; because it outlives the worker, the exit status and the kernel's last
counters are on disk whoever else is gone. It writes in DIRECTORY: ``holder.json`` (who it
is), ``released`` (the gate opened), ``log``, ``probe.json`` (what ffprobe says of the output,
which is as little to be trusted as the input and so read under the same limits), and at the
end ``facts.json``.
"""

import json
import os
import signal
import subprocess
import sys
import time
from typing import IO, Any

#: The log keeps this much of ffmpeg's output from its start, and TAIL from its end.
LOG_BYTES = 4 << 20
TAIL_BYTES = 256 << 10
#: ffprobe reads headers and a few frames; a minute is for a disk under great load.
PROBE_SECONDS = 60
#: Counters that are gone with the cgroup (cgroup-v2.rst).
COUNTERS = ("cpu.stat", "memory.peak", "memory.events", "io.stat")
#: bwrap reports its child's death by signal as 128 + N. ffmpeg 7's own statuses are there too
#: (256 - errno): SIGTERM is left out, because ffmpeg obeys it and 143 is "No route to host".
SIGNALS = (
    signal.SIGILL,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGKILL,
    signal.SIGSEGV,
)

terminated = False


def main() -> int:
    """Wait, run, and write down how it ended. Exit status: the job's, or 0 if never released."""
    directory = sys.argv[1]
    # The worker started us with SIGTERM blocked, so that a stop of the scope in our first
    # milliseconds cannot take the facts away; from here on it is noted, not obeyed.
    signal.signal(signal.SIGTERM, note_termination)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    write(directory, "holder.json", {"pid": os.getpid(), "start_ticks": start_ticks()})
    if os.read(0, 1) != b"g":
        return 0
    write(directory, "released", {"at": time.time()})
    with open(os.path.join(directory, "command.json"), encoding="utf-8") as file:
        commands = json.load(file)
    started = time.monotonic()
    status = run(commands["run"], directory)
    wall_seconds = round(time.monotonic() - started, 3)
    if status == 0 and commands["probe"]:
        probe(commands["probe"], directory)
    facts = {
        "exit_status": status,
        "terminated": terminated,
        "wall_seconds": wall_seconds,
        "ended_at": time.time(),
        "counters": counters(),
    }
    write(directory, "facts.json", facts)
    return 0


def note_termination(_signal: int, _frame: object) -> None:
    """SIGTERM reaches every process of the scope; ours waits for the others."""
    global terminated
    terminated = True


def start_ticks() -> int:
    """When this process started, in clock ticks since boot (proc(5)): with the pid, an identity."""
    with open("/proc/self/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def run(command: list[str], directory: str) -> int:
    """Run the job to its end; its exit status, or minus the signal that ended it."""
    with open(os.path.join(directory, "log"), "wb", buffering=0) as log:
        reading, writing = os.pipe()
        try:
            job = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=writing, stderr=writing
            )
        except OSError as error:
            log.write(f"cannot start {command[0]}: {error}\n".encode())
            return 127
        os.close(writing)
        if terminated:  # the stop came while the job was being started, and missed it
            job.terminate()
        copy(reading, log)
        status = job.wait()
    return 128 - status if status - 128 in SIGNALS else status


def probe(command: list[str], directory: str) -> None:
    """Have ffprobe read the output; whoever verifies it finds an empty file if it cannot."""
    with open(os.path.join(directory, "probe.json"), "wb") as found:
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=found,
                stderr=subprocess.DEVNULL,
                timeout=PROBE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            found.truncate(0)


def copy(source: int, log: IO[bytes]) -> None:
    """Copy the job's output to its log and to the journal, where it stands under the scope.

    The middle of an endless log is left out: a broken input can make ffmpeg write gigabytes.
    """
    written = 0
    tail = b""
    left_out = 0
    while chunk := os.read(source, 65536):
        if written < LOG_BYTES:
            log.write(chunk)
            forward(chunk)
            written += len(chunk)
        else:
            left_out += len(chunk)
            tail = (tail + chunk)[-TAIL_BYTES:]
    if tail:
        log.write(f"\n[... {left_out - len(tail)} bytes left out ...]\n".encode() + tail)


def forward(chunk: bytes) -> None:
    """To the journal, as far as it takes it: a worker that is gone must not break the job."""
    try:
        os.write(2, chunk)
    except OSError:
        pass


def counters() -> dict[str, str]:
    """The last words of our cgroup, read from inside it: the only place without a race."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        path = next((line[3:].strip() for line in file if line.startswith("0::")), None)
    found: dict[str, str] = {}
    if path is None:
        return found
    for name in COUNTERS:
        try:
            with open(f"/sys/fs/cgroup{path}/{name}", encoding="ascii") as file:
                found[name] = file.read()
        except OSError:
            continue
    return found


def write(directory: str, name: str, content: dict[str, Any]) -> None:
    """Write a file whole or not at all, and durably."""
    temporary = os.path.join(directory, f".{name}.new")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, os.path.join(directory, name))
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


if __name__ == "__main__":
    sys.exit(main())
