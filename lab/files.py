"""Files and packages into a machine, files out of it; all through commands."""

import io
import shlex
import tarfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from lab.command import Command, Result
from lab.errors import LabError, MachineGone

Popen = Callable[..., Command]
COPY_SECONDS = 600.0
DEBS = "/var/tmp/lab-debs"  # noqa: S108 - a path in the machine, not on the host
# qemu's user network; by hand, as nothing in the machine looks for a network.
VM_NETWORK = (
    "ip link set eth0 up && ip address replace 10.0.2.15/24 dev eth0 && "
    "ip route replace default via 10.0.2.2 && echo nameserver 10.0.2.3 >/etc/resolv.conf"
)


class _Sink:
    """As much of a file as tarfile needs to write to."""

    def __init__(self, command: Command) -> None:
        self._command = command

    def write(self, data: bytes) -> int:
        self._command.write(data)
        return len(data)


def push(popen: Popen, local: Path, remote: str) -> None:
    """Copy a file or directory to exactly that path. Raises LabError, OSError."""
    if not local.exists():
        raise LabError(f"nothing to copy: {local} does not exist")
    target = remote.rstrip("/")
    parent, _, name = target.rpartition("/")
    script = 'mkdir -p -- "$1" && tar -C "$1" --no-same-owner -xf -'
    command = popen(["sh", "-c", script, "sh", parent or "/"], stdin=True)

    def pack() -> None:
        with suppress(MachineGone):  # finish() tells why
            sink = cast(IO[bytes], _Sink(command))
            with tarfile.open(fileobj=sink, mode="w|") as archive:
                archive.add(local.resolve(), arcname=name)
            command.close_stdin()

    threading.Thread(target=pack, daemon=True).start()
    command.finish(timeout_seconds=COPY_SECONDS).check()


def pull(popen: Popen, remote: str, local: Path) -> None:
    """Copy a file or directory to exactly that path. Raises LabError, OSError."""
    parent, _, name = remote.rstrip("/").rpartition("/")
    argv = ["tar", "-C", parent or "/", "-chf", "-", "--", name]
    done = popen(argv).finish(timeout_seconds=COPY_SECONDS).check()
    local.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(done.output)) as archive:
        for member in archive.getmembers():
            member.name = local.name + member.name[len(name) :]
            archive.extract(member, local.parent, set_attrs=True)


def install(popen: Popen, debs: Sequence[Path], timeout_seconds: float) -> Result:
    """Install packages as an administrator would. Raises CommandFailed."""
    popen(["rm", "-rf", DEBS]).finish(timeout_seconds=60).check()
    for deb in debs:
        push(popen, deb, f"{DEBS}/{deb.name}")
    names = " ".join(shlex.quote(f"{DEBS}/{deb.name}") for deb in debs)
    line = f"apt-get install --yes --quiet --allow-downgrades {names}"
    return popen(["bash", "-c", line]).finish(timeout_seconds=timeout_seconds).check()
