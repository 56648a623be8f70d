"""Layers over the base image, and disks made of them.

- base: Debian, made by base.py
- guest: our agent and quiet defaults; changes with lab/guest
- depends: what given packages depend on; changes with their Depends, not with their code
- disk: all of that and the packages, for a VM; installed in a container, at native speed
"""

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab import base, cache, container, files, overlay, spec
from lab.cache import Held
from lab.errors import CommandFailed, LabError
from lab.progress import step
from lab.running import Machine

GUEST = Path(__file__).resolve().parent / "guest"
DISK_SIZE = "8G"  # sparse
MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "systemd-networkd-wait-online.service",
)
SETTINGS = {
    "etc/apt/apt.conf.d/90lab": (
        'Acquire::Languages "none";\nDpkg::Use-Pty "0";\nAPT::Sandbox::User "root";\n'
        # Our packages have to work with no more than their Depends.
        'APT::Install-Recommends "false";\n'
    ),
    "etc/dpkg/dpkg.cfg.d/90lab": "force-unsafe-io\n",
    "etc/hostname": "debian\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/resolv.conf": "",
    # Empty, not missing: a machine that gets its own id, but whose units were
    # set up already, so that no preset enables what a package left disabled.
    "etc/machine-id": "",
}


def guest() -> Held:
    """The layer that makes a Debian one of ours."""
    sources = [path.read_text() for path in sorted(GUEST.iterdir()) if path.is_file()]
    recipe = [*sources, *MASKED, *SETTINGS, *SETTINGS.values()]
    return cache.obtain(f"guest-{cache.digest(*recipe)}", _build_guest)


def _build_guest(target: Path) -> None:
    units = target / "etc/systemd/system"
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(parents=True)
    for name in MASKED:
        (units / name).symlink_to("/dev/null")
    (units / "lab-agent.service").write_text((GUEST / "lab-agent.service").read_text())
    (wanted / "lab-agent.service").symlink_to("/etc/systemd/system/lab-agent.service")
    agent = target / "usr/lib/lab/agent.py"
    agent.parent.mkdir(parents=True)
    agent.write_text((GUEST / "agent.py").read_text())
    for name, content in SETTINGS.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def field(deb: Path, name: str) -> str:
    """One field of a package. Raises LabError when it is none."""
    done = subprocess.run(
        ["dpkg-deb", "-f", str(deb), name], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise LabError(f"{deb} is not a Debian package: {done.stderr.strip()}")
    return done.stdout.strip()


def foreign_depends(debs: Sequence[Path]) -> list[str]:
    """What the packages depend on, apart from each other."""
    own = {field(deb, "Package") for deb in debs}
    found: set[str] = set()
    for deb in debs:
        for text in (field(deb, "Pre-Depends"), field(deb, "Depends")):
            found.update(clause.strip() for clause in text.split(",") if clause.strip())
    return sorted(clause for clause in found if re.split(r"[\s:(|]", clause)[0] not in own)


def lower(suite: str, debs: Sequence[Path]) -> list[Held]:
    """The layers of a machine that is to get these packages, topmost first."""
    held = [guest(), base.obtain(suite)]
    wanted = foreign_depends(debs)
    if wanted:
        key = cache.digest(*(layer.path.name for layer in held), *wanted)
        under = [layer.path for layer in held]
        name = f"depends-{suite}-{key}"
        held.insert(0, cache.obtain(name, lambda target: _depends(suite, under, wanted, target)))
    return held


def _depends(suite: str, under: Sequence[Path], wanted: Sequence[str], target: Path) -> None:
    with (
        step(f"installing {len(wanted)} dependencies on {suite}"),
        _workshop(suite, under) as machine,
    ):
        _in_container(machine, lambda: _satisfy(machine, wanted))
        overlay.unmount(machine.spec.place)
        (machine.spec.place / "upper").rename(target)


@contextmanager
def _workshop(suite: str, under: Sequence[Path]) -> Iterator[Machine]:
    """A container, not booted yet, whose root is to become a layer or a disk."""
    machine = Machine(spec.make(suite, "container", layers=under))
    machine.spec.save()
    try:
        container.prepare(machine.spec)
        _reset(machine)
        yield machine
    finally:
        machine.destroy()


def _in_container(machine: Machine, change: Callable[[], None]) -> None:
    """Boot it, change it, shut it down in order, and take away what made it one machine."""
    machine.start()
    change()
    machine.power_off()
    _reset(machine)


def _reset(machine: Machine) -> None:
    for name in ("etc/machine-id", "etc/hostname"):
        (machine.spec.place / "root" / name).write_text(SETTINGS[name])


def _satisfy(machine: Machine, wanted: Sequence[str]) -> None:
    command = ["apt-get", "satisfy", "--yes", "--quiet", ", ".join(wanted)]
    try:
        machine.run(command, check=True, timeout=900)
    except CommandFailed as error:
        raise LabError(
            f"a dependency is not to be had; is it in lab/packages.txt?\n{error}"
        ) from error


def _install(machine: Machine, debs: Sequence[Path]) -> None:
    machine.install(debs)
    machine.run(["rm", "-rf", files.DEBS], check=True)


def disk(suite: str, debs: Sequence[Path]) -> Held:
    """The disk of a VM on which these packages were installed before it was shut down."""
    layers = lower(suite, debs)
    under = [layer.path for layer in layers]
    contents = sorted(cache.file_digest(deb) for deb in debs)
    name = f"disk-{suite}-{cache.digest(DISK_SIZE, *(path.name for path in under), *contents)}"
    try:
        return cache.obtain(name, lambda target: _disk(suite, under, debs, target))
    finally:
        for layer in layers:
            layer.release()


def _disk(suite: str, under: Sequence[Path], debs: Sequence[Path], target: Path) -> None:
    with _workshop(suite, under) as machine:
        if debs:
            with step(f"installing {len(debs)} packages for the disk of {suite}"):
                _in_container(machine, lambda: _install(machine, debs))
        with step(f"writing the disk of {suite}"):
            make_filesystem(machine.spec.place / "root", target)


def make_filesystem(root: Path, target: Path) -> None:
    command = ["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", str(root), str(target), DISK_SIZE]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"mke2fs failed: {done.stderr.strip()}")
