"""The holder: a tiny process that waits at a pipe, is put into the scope, then runs the job.

It stands alone: standard library only, started as ``python3 -I -S holder.py DIRECTORY [FD ...]``
with SIGTERM blocked, and with descriptors of the input (SOURCE) and of the output (SINK), if they
are files: the sandbox gets what the worker checked. Standard input is the gate, a socket: the whole
command opens it (see ``command``), end of file before that closes it for good; our end is closed
when the command has ended, whose place is then free. It is inside the scope before it starts
anything, so the job is limited from its first instruction; it outlives the worker, so the exit
status and the kernel's last counters are on disk whoever else is gone. It writes in DIRECTORY:
``holder.json`` (who it is), ``released``, ``log``, ``probe.json`` (what ffprobe says of the output,
read under the same limits), and at the end ``facts.json``; before that, the output is on the disk.

Every launch waits for our start. So it is mostly forked (``nursery.py``), and there is little to
import: ``signal`` and ``json`` would each take as long as the start of Python itself.
"""

from __future__ import annotations

import _signal as signal  # without the enums that take so long
import posix  # what os is made of: os itself takes a tenth of the start
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing it would take as long as all the rest
    from collections.abc import Iterator

#: The log keeps this much of ffmpeg's output from its start, and TAIL from its end.
LOG_BYTES = 4 << 20
TAIL_BYTES = 256 << 10
#: In DIRECTORY: what the job may not ask of the kernel; and where its sandbox finds it open.
FILTER = "seccomp"
FILTER_DESCRIPTOR = 3
#: What stands for a secret ("…"), and more than the longest one: a URL has 4096 characters.
HIDDEN = b"\xe2\x80\xa6"
SECRET_BYTES = 16384
#: Kept free for each of facts.json and probe.json: they are some KB, and a disk that others
#: filled meanwhile must not silence a job that ended well.
ROOM_BYTES = 16 << 10
#: ffprobe reads headers and a few frames; a minute is for a disk under great load.
PROBE_SECONDS = 60
#: Where the descriptors are, far above what is opened here and in the nursery.
SOURCE, SINK = 100, 101
#: The status of a job whose output could not be stored (EX_IOERR, sysexits.h).
NOT_STORED = 74
#: lseek(2): from where we are.
SEEK_CUR = 1
#: What a sandbox leaves behind ends at once (bwrap --die-with-parent).
REAP_SECONDS = 2.0
#: Counters that are gone with the cgroup (cgroup-v2.rst).
COUNTERS = ("cpu.stat", "memory.peak", "memory.events", "io.stat")
#: bwrap reports its child's death by signal as 128 + N. ffmpeg 7's own statuses are there too
#: (256 - errno): SIGTERM is left out, because ffmpeg obeys it and 143 is "No route to host".
SIGNALS = ("SIGILL", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGSEGV")


def main(directory: str, *descriptors: str) -> int:
    """Wait, run, and write down how it ended. Exit status: 0, also if never released."""
    identity = {"pid": str(posix.getpid()), "start_ticks": str(start_ticks())}
    write(directory, "holder.json", as_object(identity))
    told = command(read_all(0))
    if told is None:
        return 0
    posix.close(posix.open(f"{directory}/released", posix.O_WRONLY | posix.O_CREAT, 0o640))
    run_argv, probe_argv, secrets = told
    for name in ("facts.json", "probe.json")[: 1 + bool(probe_argv)]:
        reserve(directory, name)
    if scope() is None:
        become_reaper()
    started = time.monotonic()
    status = run(run_argv, directory, secrets)
    leave()
    wall_seconds = round(time.monotonic() - started, 3)
    if str(SOURCE) in descriptors:  # what reads the output has no business there
        posix.close(SOURCE)
    if status == 0 and str(SINK) in descriptors:
        status = store(f"/proc/self/fd/{SINK}", directory)
    if status == 0 and probe_argv:
        status = probe(probe_argv, directory)
    facts = {
        "exit_status": str(status),
        "terminated": "true" if terminated() else "false",
        "wall_seconds": str(wall_seconds),
        "ended_at": str(time.time()),
        "counters": "{}",
    }
    used = as_object({name: as_string(text) for name, text in counters().items()})
    try:
        write(directory, "facts.json", as_object({**facts, "counters": used}), durable=True)
    except OSError:  # how it ended counts more than what it used
        write(directory, "facts.json", as_object(facts), durable=True)
    return 0


def command(message: bytes) -> tuple[list[str], list[str], list[bytes]] | None:
    """What to run, what to read the output with, and what of the job's words nobody may read;
    None unless the message is whole.

    Fields end with a NUL: how many words the job has, and how many secrets; these, those, the
    words of the probe, "go".
    """
    counts, *words = message.split(b"\0")
    if words[-2:] != [b"go", b""]:
        return None
    first, hidden, *_ = (*map(int, counts.split()), 0)
    secrets, end = words[first : first + hidden], first + hidden
    argv = [word.decode("utf-8", "surrogateescape") for word in words[:-2]]
    return argv[:first], argv[end:], secrets


def read_all(source: int) -> bytes:
    """All that comes until the end of file."""
    parts = []
    while part := posix.read(source, 65536):
        parts.append(part)
    return b"".join(parts)


def leave() -> None:
    """Tell the worker that the job's place is free: what is left needs no core for long."""
    nothing = posix.open("/dev/null", posix.O_RDONLY)
    posix.dup2(nothing, 0)
    posix.close(nothing)


def terminated() -> bool:
    """Whether SIGTERM came. It reaches every process of the scope; in ours it stays blocked,
    from before our first instruction, so that a stop never takes the last words away."""
    return signal.SIGTERM in signal.sigpending()


def start_ticks() -> int:
    """When this process started, in clock ticks since boot (proc(5)): with the pid, an identity."""
    with open("/proc/self/stat", encoding="utf-8") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def run(argv: list[str], directory: str, secrets: list[bytes]) -> int:
    """Run the job to its end; its exit status, or minus the signal that ended it."""
    try:
        log = posix.open(f"{directory}/log", posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC, 0o640)
    except OSError:  # a full disk; what the job writes elsewhere may be whole all the same
        log = posix.open("/dev/null", posix.O_WRONLY)
    reading, writing = posix.pipe()
    try:
        job = spawn(argv, directory, writing, writing)
    except OSError as error:
        keep(log, f"cannot start {argv[0]}: {error}\n".encode())
        return 127
    posix.close(writing)
    copy(said(reading, secrets), log)
    posix.close(log)
    return ending(job)


def spawn(argv: list[str], directory: str, output: int, errors: int) -> int:
    """Start a program that hears SIGTERM again, its filter open; its pid. Raises OSError."""
    pid = posix.posix_spawnp(
        argv[0],
        argv,
        posix.environ,
        file_actions=[
            (posix.POSIX_SPAWN_OPEN, 0, "/dev/null", posix.O_RDONLY, 0),
            (posix.POSIX_SPAWN_DUP2, output, 1),
            (posix.POSIX_SPAWN_DUP2, errors, 2),
            (posix.POSIX_SPAWN_OPEN, FILTER_DESCRIPTOR, f"{directory}/{FILTER}", posix.O_RDONLY, 0),
        ],
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores them
    )
    if terminated():  # the stop may have come before it was there to hear it
        posix.kill(pid, signal.SIGTERM)
    return pid


def ending(pid: int) -> int:
    """Wait for a program's end; its exit status, or minus the signal that ended it."""
    status = posix.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1])
    by_bwrap = {128 + getattr(signal, name): -int(getattr(signal, name)) for name in SIGNALS}
    return by_bwrap.get(status, status)


def store(path: str, directory: str) -> int:
    """Bring the output to the disk: 0, or NOT_STORED with a line in the log that says why."""
    try:
        output = posix.open(path, posix.O_RDONLY)
        try:
            posix.fsync(output)
        finally:
            posix.close(output)
    except OSError as error:
        line = f"[error] output: {posix.strerror(error.errno or 0)}\n".encode()
        log = posix.open(f"{directory}/log", posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND, 0o640)
        keep(log, line)
        forward(line)
        return NOT_STORED
    return 0


def probe(argv: list[str], directory: str) -> int:
    """Have ffprobe read the output; whoever verifies it finds an empty file if it cannot.

    Minus the signal, if one ended it: then nothing is known of the output. Else 0.
    """
    found = posix.open(unwritten(directory, "probe.json"), posix.O_WRONLY | posix.O_CREAT, 0o640)
    posix.rename(unwritten(directory, "probe.json"), f"{directory}/probe.json")
    nothing = posix.open("/dev/null", posix.O_WRONLY)
    try:
        pid = spawn(argv, directory, found, nothing)
        late = not has_ended(pid, PROBE_SECONDS)
        if late:
            posix.kill(pid, signal.SIGKILL)
        status = ending(pid)
        # Its place in the file is ours too: what it wrote ends there, not the room for it.
        posix.ftruncate(found, 0 if late else posix.lseek(found, 0, SEEK_CUR))
        posix.fsync(found)
        return 0 if late else min(status, 0)
    except OSError:
        posix.ftruncate(found, 0)
        return 0
    finally:
        posix.close(nothing)
        posix.close(found)


def has_ended(pid: int, within_seconds: float) -> bool:
    """Whether a child ended in that time; it is still to be waited for."""
    import select

    pidfd = posix.pidfd_open(pid)
    try:
        return bool(select.select([pidfd], [], [], within_seconds)[0])
    finally:
        posix.close(pidfd)


def said(source: int, secrets: list[bytes]) -> Iterator[bytes]:
    """What the job says, as it comes; without its secrets, where it has any, and then by lines."""
    rest = b""
    while chunk := posix.read(source, 65536):
        rest += chunk
        for secret in secrets:
            rest = rest.replace(secret, HIDDEN)
        # Of a line without end the last part may be the first one of a secret.
        by_line = rest.rfind(b"\n") + 1 or max(0, len(rest) - SECRET_BYTES)
        cut = by_line if secrets else len(rest)
        yield rest[:cut]
        rest = rest[cut:]
    yield rest


def copy(chunks: Iterator[bytes], log: int) -> None:
    """Copy the job's output to its log and to the journal, where it stands under the scope.

    The middle of an endless log is left out: a broken input can make ffmpeg write gigabytes. So is
    what the disk does not take.
    """
    seen = left_out = 0
    tail = b""
    for chunk in chunks:
        begins = seen < LOG_BYTES
        if begins:
            forward(chunk)
        kept = keep(log, chunk) if begins and not left_out else 0
        seen += len(chunk)
        left_out += len(chunk) - kept
        tail = (tail + chunk[kept:])[-TAIL_BYTES:]
    if tail:
        end = f"\n[... {left_out - len(tail)} bytes left out ...]\n".encode() + tail
        keep(log, end)
        if seen > LOG_BYTES:
            forward(end)


def keep(log: int, text: bytes) -> int:
    """Write as much as the disk takes: how many bytes."""
    kept = 0
    try:
        while kept < len(text):
            kept += posix.write(log, text[kept:])
    except OSError:
        pass  # the job goes on: what it makes may be elsewhere
    return kept


def forward(chunk: bytes) -> None:
    """To the journal, as far as it takes it: a worker that is gone must not break the job."""
    try:
        posix.write(2, chunk)
    except OSError:
        pass


def scope() -> str | None:
    """Our cgroup, if it is a scope of our own; None where nobody put us in one."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        path = next((line[3:].strip() for line in file if line.startswith("0::")), "")
    return path if path.endswith(".scope") else None


def counters() -> dict[str, str]:
    """The last words of our cgroup, read from inside it: the only place without a race.

    Where we were put in no scope, the cgroup is not ours alone, and what the kernel counted
    of our children stands in the same words (getrusage(2)).
    """
    path = scope()
    if path is None:
        return of_children()
    found: dict[str, str] = {}
    for name in COUNTERS:
        try:
            with open(f"/sys/fs/cgroup{path}/{name}", encoding="utf-8") as file:
                found[name] = file.read()
        except OSError:
            continue
    return found


def become_reaper() -> None:
    """Have what the sandbox leaves behind as our children: bwrap ends without waiting for the
    process that waited for ffmpeg, and who is not waited for is not counted."""
    import ctypes

    PR_SET_CHILD_SUBREAPER = 36  # noqa: N806 - linux/prctl.h
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def of_children() -> dict[str, str]:
    """CPU time, and the memory of the largest process, of what we waited for."""
    import resource

    until = time.monotonic() + REAP_SECONDS
    try:
        while time.monotonic() < until:
            if posix.waitpid(-1, posix.WNOHANG)[0] == 0:
                time.sleep(0.01)
    except ChildProcessError:
        pass  # nobody is left
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = round(used.ru_utime * 1e6), round(used.ru_stime * 1e6)
    stat = f"usage_usec {user + system}\nuser_usec {user}\nsystem_usec {system}\n"
    return {"cpu.stat": stat, "memory.peak": f"{used.ru_maxrss * 1024}\n"}


def as_object(members: dict[str, str]) -> str:
    """A JSON object of values that are JSON already."""
    return "{" + ", ".join(f'"{name}": {value}' for name, value in members.items()) + "}"


def as_string(text: str) -> str:
    """A JSON string of what the kernel writes: ASCII and line ends."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def write(directory: str, name: str, text: str, *, durable: bool = False) -> None:
    """Write a file whole or not at all; ``durable``: also if the machine loses its power.

    Without power the job is gone too, and what we said of its start does not matter.
    """
    temporary = unwritten(directory, name)
    file = posix.open(temporary, posix.O_WRONLY | posix.O_CREAT, 0o640)
    try:
        content = text.encode()
        while content:
            content = content[posix.write(file, content) :]
        posix.ftruncate(file, posix.lseek(file, 0, SEEK_CUR))
        if durable:
            posix.fsync(file)
    finally:
        posix.close(file)
    posix.rename(temporary, f"{directory}/{name}")
    if durable:
        folder = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY)
        try:
            posix.fsync(folder)
        finally:
            posix.close(folder)


def reserve(directory: str, name: str) -> None:
    """Have room for a file that is to be written at the end."""
    try:
        file = posix.open(unwritten(directory, name), posix.O_WRONLY | posix.O_CREAT, 0o640)
        try:
            posix.posix_fallocate(file, 0, ROOM_BYTES)
        finally:
            posix.close(file)
    except OSError:
        pass  # then it is written if there is room by then


def unwritten(directory: str, name: str) -> str:
    """The file's name while it is not whole."""
    return f"{directory}/.{name}.new"


if __name__ == "__main__":
    posix._exit(main(*sys.argv[1:]))  # all is closed; taking Python down would take milliseconds
