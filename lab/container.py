"""Container back end: systemd-nspawn. Up in a second, at native speed.

Limits are enforced inside only where the host itself has the controllers in
cgroup v2.
"""

import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lab import overlay
from lab.spec import Spec

CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")


def host_cgroup() -> Path:
    """Where the host has cgroup v2: alone, or beside v1."""
    whole = Path("/sys/fs/cgroup")
    return whole if (whole / "cgroup.controllers").exists() else whole / "unified"


def enforces_limits() -> bool:
    """Whether a container on this host has cpu and memory limits in force."""
    available = Path("/sys/fs/cgroup/cgroup.controllers")
    return available.exists() and {"cpu", "memory"} <= set(available.read_text().split())


def _host_runs_systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def prepare(spec: Spec) -> None:
    root = overlay.mount([Path(layer) for layer in spec.layers], spec.place)
    (root / "etc/hostname").write_text(f"{spec.name}\n")


def start(spec: Spec, locks: Sequence[int]) -> "subprocess.Popen[bytes]":
    """Start it over what prepare() mounted. It holds `locks` as long as it runs."""
    (spec.agent / "agent.sock").unlink(missing_ok=True)
    command = [
        "systemd-nspawn",
        "--quiet",
        f"--directory={spec.place / 'root'}",
        f"--machine={spec.name}",
        "--register=no",
        "--boot",
        f"--bind={spec.agent}:/run/lab",
        "--link-journal=no",
        "--timezone=off",
        f"--resolv-conf={'copy-host' if spec.network else 'off'}",
        *([] if spec.network else ["--private-network"]),
    ]
    group: int | None = None
    if not _host_runs_systemd():
        # Nobody makes a scope for it then; without a cgroup of its own, the
        # systemds of two containers would manage the same one.
        command.append("--keep-unit")
        group = _own_cgroup(spec)

    def enter() -> None:
        if group is not None:
            os.write(group, b"0")

    with spec.console.open("ab") as console:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            pass_fds=tuple(locks),
            start_new_session=True,
            preexec_fn=enter,  # noqa: PLW1509 - one write to an open file
        )
    if group is not None:
        os.close(group)
    return process


def _own_cgroup(spec: Spec) -> int:
    parent = host_cgroup()
    for controller in CONTROLLERS:
        with suppress(OSError):  # not there, or not ours to give
            (parent / "cgroup.subtree_control").write_text(f"+{controller}")
    path = parent / f"lab-{spec.name}"
    path.mkdir(exist_ok=True)
    return os.open(path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)


def forget_cgroup(spec: Spec) -> None:
    """After its end: kill what is left in its cgroup, and remove that."""
    path = host_cgroup() / f"lab-{spec.name}"
    if path.exists():
        with suppress(OSError):
            (path / "cgroup.kill").write_text("1")
        deadline = time.monotonic() + 5
        while path.exists() and time.monotonic() < deadline:
            _remove_cgroup(path)
            time.sleep(0.02)


def clean(spec: Spec) -> None:
    """After its end: whatever is left of it on the host."""
    forget_cgroup(spec)
    overlay.unmount(spec.place)


def _remove_cgroup(path: Path) -> None:
    for directory, _, _ in os.walk(path, topdown=False):
        with suppress(OSError):  # a process is still on its way out
            os.rmdir(directory)  # noqa: PTH106 - the names come from os.walk
