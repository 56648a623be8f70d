"""A command line inside bubblewrap: /usr, its own directory, what is bound; nothing else. Pure.

bwrap(1). No /etc/ffmpeg-worker, no /run (so no bus socket and no credentials), no /var, no
/home, and of /sys and /opt only what a driver reads, where the job has a device. The job has
namespaces of its own for user, process, IPC, host name, cgroup and mounts, and an empty network
one unless it needs the network; even then it can look up no name but those that ``pinning.py``
looked up for it. The list works under the worker's own hardening on Debian 12 and 13. Beside that,
a job can ask little of the kernel and makes no namespaces of its own (``syscalls.py``;
--disable-userns would fail where /proc/sys is read-only, as in containers), is told no host name of
the machine's, and fills no memory by way of /tmp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: The job's own directory, inside.
JOB: Final = "/job"
#: Where whoever starts it has the filter of ``syscalls.py`` open, to be read once.
FILTER_DESCRIPTOR: Final = 3
#: Of /tmp and of /dev/shm, as in Docker; what needs more is written in JOB, on the disk.
SCRATCH_BYTES: Final = 64 << 20
HOST_NAME: Final = "ffmpeg-job"

_SYSTEM: Final = (
    *("--ro-bind", "/usr", "/usr"),
    *("--symlink", "usr/bin", "/bin"),
    *("--symlink", "usr/sbin", "/sbin"),
    *("--symlink", "usr/lib", "/lib"),
    *("--symlink", "usr/lib64", "/lib64"),
    # Debian's BLAS, which ffmpeg links to, is found through alternatives.
    *("--ro-bind", "/etc/alternatives", "/etc/alternatives"),
    *("--ro-bind", "/etc/ld.so.cache", "/etc/ld.so.cache"),
)
_NETWORK: Final = (
    *("--ro-bind-try", "/etc/ssl/certs", "/etc/ssl/certs"),
    *("--ro-bind-try", "/etc/ca-certificates", "/etc/ca-certificates"),
)
#: What drivers read beside their device nodes. libdrm (so Mesa and VA-API) and NVIDIA's libraries
#: ask sysfs which PCI device a node is, from its number (/sys/dev/char) or by looking through all;
#: /sys/class, /sys/bus and /sys/dev are links into /sys/devices. AMF is a Vulkan application.
_DRIVERS: Final = (
    "/sys/dev/char",
    "/sys/class/drm",
    "/sys/bus/pci",
    "/sys/devices",
    "/sys/module/nvidia",
    "/etc/vulkan",
    "/etc/OpenCL",
    "/opt/amdgpu",
    "/opt/amdgpu-pro",
)


@dataclass(frozen=True)
class Bind:
    """A file or directory of this machine, and where the job finds it."""

    source: str | int  #: a path, or a descriptor of one: it is closed before the job begins
    target: str
    writable: bool = False


def _scratch(target: str) -> tuple[str, ...]:
    return ("--size", str(SCRATCH_BYTES), "--tmpfs", target)


def sandboxed(
    argv: Sequence[str],
    binds: Sequence[Bind],
    *,
    network: bool,
    devices: Sequence[str] = (),
    filter_descriptor: int = FILTER_DESCRIPTOR,
) -> tuple[str, ...]:
    """The command line that runs ``argv`` and lets it see only what is listed here."""
    places: list[str] = []
    for bind in binds:
        option = "--bind" if bind.writable else "--ro-bind"
        places += [option + "-fd" * isinstance(bind.source, int), str(bind.source), bind.target]
    nodes = [word for device in devices for word in ("--dev-bind-try", device, device)]
    nodes += _scratch("/dev/shm") if devices else ()  # noqa: S108 - drivers may share memory
    for source in _DRIVERS if devices else ():
        places += ["--ro-bind-try", source, source]
    return (
        "bwrap",
        *("--seccomp", str(filter_descriptor)),
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        *("--hostname", HOST_NAME),
        "--unshare-cgroup",
        *(() if network else ("--unshare-net",)),
        "--new-session",
        "--die-with-parent",
        *("--cap-drop", "ALL"),
        "--clearenv",
        *("--setenv", "PATH", "/usr/bin:/bin"),
        *("--setenv", "LANG", "C.UTF-8"),
        *("--setenv", "HOME", JOB),
        *("--setenv", "TMPDIR", JOB),
        *_SYSTEM,
        *(_NETWORK if network else ()),
        *("--proc", "/proc"),
        *("--dev", "/dev"),
        *nodes,
        *("--remount-ro", "/dev"),
        *_scratch("/tmp"),  # noqa: S108 - the sandbox's own, gone with it
        *places,
        *("--remount-ro", "/"),  # the empty directory that all this is mounted in
        *("--chdir", JOB if any(bind.target == JOB for bind in binds) else "/"),
        "--",
        *argv,
    )
