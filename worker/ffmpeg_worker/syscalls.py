"""What a job may not ask of the kernel: a seccomp filter, as ``bwrap --seccomp`` takes it.

A list of what is refused, not of what is allowed: encoders, drivers and the C library go on to work
as they are, and find an error where they ask for one of these. What is refused serves to leave a
sandbox, to look into other processes, or reaches parts of the kernel that are seldom right at first
(seccomp(2), capabilities(7); Docker's and Flatpak's lists refuse the same).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

import seccomp

#: Namespaces, mounts, roots.
_PLACES: Final = (
    *("mount", "umount", "umount2", "pivot_root", "chroot", "setns", "unshare"),
    *("move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"),
    *("name_to_handle_at", "open_by_handle_at", "sethostname", "setdomainname"),
)
#: Other processes.
_OTHERS: Final = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd"),
    *("kcmp", "perf_event_open", "add_key", "keyctl", "request_key"),
)
#: The machine itself.
_MACHINE: Final = (
    *("bpf", "userfaultfd", "fanotify_init", "syslog", "acct", "quotactl", "quotactl_fd"),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot"),
    *("swapon", "swapoff", "iopl", "ioperm", "modify_ldt", "vm86", "vm86old", "vhangup"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "lookup_dcookie"),
)
#: Whoever asks for these goes on by other means where the kernel has none of them. clone3 hides
#: its flags from a filter.
_UNKNOWN: Final = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register")
#: CLONE_NEW* of linux/sched.h: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
_NEW_NAMESPACE: Final = (
    *(0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000),
    *(0x1000_0000, 0x2000_0000, 0x4000_0000),
)
#: Of socket(2): AF_INET, AF_INET6 and AF_NETLINK; and of the last only NETLINK_ROUTE, of which
#: getaddrinfo(3) learns the machine's addresses. Not AF_UNIX: sockets without a path are reached
#: from the machine's own network.
_FAMILIES: Final = (2, 10, 16)
_NETLINK: Final = 16
#: ioctl(2)s that type into a terminal: TIOCSTI, TIOCLINUX.
_TYPING: Final = (0x5412, 0x541C)


@cache
def program() -> bytes:
    """The filter in the kernel's form (BPF), for this machine's architecture."""
    made = seccomp.SyscallFilter(seccomp.ALLOW)
    made.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.ERRNO(errno.ENOSYS))
    for name in (*_PLACES, *_OTHERS, *_MACHINE):
        _refuse(made, errno.EPERM, name)
    for name in _UNKNOWN:
        _refuse(made, errno.ENOSYS, name)
    for flag in _NEW_NAMESPACE:
        _refuse(made, errno.EPERM, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    for request in _TYPING:  # the kernel looks at the lower half
        wanted = seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFF_FFFF, request)
        _refuse(made, errno.EPERM, "ioctl", wanted)
    for family in set(range(max(_FAMILIES))) - set(_FAMILIES):
        _refuse(made, errno.EAFNOSUPPORT, "socket", seccomp.Arg(0, seccomp.EQ, family))
    higher = seccomp.Arg(0, seccomp.GT, max(_FAMILIES))
    _refuse(made, errno.EAFNOSUPPORT, "socket", higher)
    other = seccomp.Arg(0, seccomp.EQ, _NETLINK), seccomp.Arg(2, seccomp.NE, 0)
    _refuse(made, errno.EPROTONOSUPPORT, "socket", *other)
    with os.fdopen(os.memfd_create("seccomp"), "w+b") as file:
        made.export_bpf(file)
        file.seek(0)
        return file.read()


def _refuse(made: seccomp.SyscallFilter, error: int, name: str, *arguments: seccomp.Arg) -> None:
    # Negative: not on this architecture, or newer than the library.
    if seccomp.resolve_syscall(seccomp.Arch(), name) >= 0:
        made.add_rule(seccomp.ERRNO(error), name, *arguments)


@contextmanager
def filter_descriptor() -> Iterator[int]:
    """The filter as a descriptor, to be read once."""
    descriptor = os.memfd_create("seccomp")
    try:
        os.write(descriptor, program())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
