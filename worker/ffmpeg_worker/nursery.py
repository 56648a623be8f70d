"""The nursery: a Python that is up already, and forks a holder whenever it is asked.

A holder that starts a Python of its own takes longer for that than for all its work. This one
stands alone, as the holder does: started as ``python3 -I -S nursery.py`` with SIGTERM blocked, a
socket as standard input. A packet on it brings the holder's arguments, its gate and its
descriptors, another takes the pid back. Its end of file (the worker died, or starts no more jobs)
ends us, and no holder: they are the worker's children, not ours.
"""

from __future__ import annotations

import _signal as signal
import _socket as socket
import gc
import posix
import select  # noqa: F401 - holders need it
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Of sched.h: who forks has a sibling. In glibc only fork(2) can be had, without flags.
CLONE_PARENT = 0x8000
#: Where clone(2) is by number, and its flags come first; elsewhere there is no nursery.
SYS_CLONE = {"x86_64": 56, "aarch64": 220}
READY = b"ready"
PACKET_BYTES = 65536
FD_BYTES = 4
#: A gate, an input, an output.
FDS_MOST = 3


def main() -> int:
    """Answer until the end of file; in a holder, be that to its end. The exit status."""
    sys.path.append(sys.argv[0].rpartition("/")[0])
    run: Callable[..., int] = __import__("holder").main  # -I -S: there is no package of ours
    fork = sibling_fork()
    line = socket.socket(fileno=0)
    line.send(READY)
    gc.freeze()  # a collection would give each holder all pages for its own
    while True:
        packet, passed, *_ = line.recvmsg(PACKET_BYTES, socket.CMSG_SPACE(FDS_MOST * FD_BYTES))
        if not packet:
            return 0
        words = packet.decode("utf-8", "surrogateescape").split("\0")
        came = descriptors(passed[0][2])
        pid = fork()
        if pid == 0:
            for there, here in zip(came, (0, *map(int, words[1:])), strict=True):
                posix.dup2(there, here)
        for descriptor in came:
            posix.close(descriptor)
        if pid == 0:
            posix.setsid()
            return run(*words)
        line.send(str(pid).encode())


def descriptors(passed: bytes) -> list[int]:
    """Those of a control message (SCM_RIGHTS in unix(7)): first the gate, then those that the
    arguments name."""
    starts = range(0, len(passed) - FD_BYTES + 1, FD_BYTES)
    return [int.from_bytes(passed[at : at + FD_BYTES], sys.byteorder) for at in starts]


def sibling_fork() -> Callable[[], int]:
    """As os.fork, but of a child of our parent; minus errno where there is none.

    We are one thread, so no lock is left behind; and PyDLL keeps Python's own.
    """
    import ctypes

    syscall, number = ctypes.PyDLL(None, use_errno=True).syscall, SYS_CLONE[posix.uname().machine]
    syscall.restype, syscall.argtypes = ctypes.c_long, [ctypes.c_long] * 6

    def fork() -> int:
        pid = syscall(number, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
        return -ctypes.get_errno() if pid < 0 else int(pid)

    return fork


if __name__ == "__main__":
    posix._exit(main())
