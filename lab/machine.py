"""The front door: boot a machine, or find one that runs."""

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import base, cache, container, layers, overlay, spec, vm
from lab.errors import LabError
from lab.process import alive, kill, throw_away
from lab.progress import say, step
from lab.running import Machine, attach
from lab.spec import Backend, Spec

__all__ = ["Machine", "attach", "best_backend", "boot", "build_images", "machines", "stop", "sweep"]


def best_backend() -> Backend:
    """The one that enforces limits on this host: the container where it can, else the VM."""
    return "container" if container.enforces_limits() else "vm"


def boot(
    suite: str = "bookworm",
    backend: Backend | None = None,
    *,
    debs: Sequence[str | Path] = (),
    name: str = "",
    network: bool = False,
    memory_mb: int = 2048,
    cpus: int = 2,
    keep: bool = False,
) -> Machine:
    """Boot a Debian with these packages installed by apt, without a network.

    In a container they are installed while it runs; a VM boots from a disk on
    which that was done (and starts fresh from it: nothing it does comes back).
    `network`: a container shares the host's; a VM reaches out, and its port 8080
    is reached at Machine.address. `keep` leaves it running after this process.
    Raises LabError: BootError, CommandFailed (of apt), bad arguments.
    """
    packages = _check(suite, name, debs)
    sweep()
    chosen = backend or best_backend()
    image = (_vm_image if chosen == "vm" else _container_image)(suite, packages)
    made = spec.make(
        suite,
        chosen,
        layers=image.layers,
        disk=image.disk,
        kernel=image.kernel,
        initrd=image.initrd,
        name=name,
        network=network,
        api_port=_free_port() if network and chosen == "vm" else 0,
        memory_mb=memory_mb,
        cpus=cpus,
        keep=keep,
    )
    machine = Machine(made, image.locks)
    try:
        made.save()
        (vm if chosen == "vm" else container).prepare(made)
        with step(f"booting {made.name} ({suite}, {chosen})"):
            machine.start()
        if packages and chosen == "container":
            with step(f"installing {' '.join(deb.name for deb in packages)}"):
                machine.install(packages)
    except BaseException:
        machine.destroy()
        raise
    return machine


def _check(suite: str, name: str, debs: Sequence[str | Path]) -> list[Path]:
    if suite not in base.SUITES:
        raise LabError(f"unknown suite {suite!r}: choose one of {', '.join(base.SUITES)}")
    if name and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", name):
        raise LabError(f"a machine cannot be called {name!r}: use a-z, 0-9 and -")
    if name in spec.names() and alive(spec.load(name)):
        raise LabError(f"a machine called {name!r} is running; lab/run --stop {name}")
    packages = [Path(deb) for deb in debs]
    for deb in packages:
        if not deb.is_file():
            raise LabError(f"no such package: {deb}")
    return packages


@dataclass(frozen=True)
class _Image:
    """What a machine starts from, and the locks that keep it from being pruned."""

    locks: tuple[int, ...]
    layers: tuple[Path, ...] = ()
    disk: Path | None = None
    kernel: Path | None = None
    initrd: Path | None = None


def _container_image(suite: str, debs: Sequence[Path]) -> _Image:
    held = layers.lower(suite, debs)
    return _Image(
        locks=tuple(layer.lock for layer in held), layers=tuple(layer.path for layer in held)
    )


def _vm_image(suite: str, debs: Sequence[Path]) -> _Image:
    disk = layers.disk(suite, debs)
    root = base.obtain(suite)
    kernel, initrd = base.kernel(root.path)
    return _Image(locks=(disk.lock, root.lock), disk=disk.path, kernel=kernel, initrd=initrd)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def machines() -> list[tuple[Spec, bool]]:
    """All machines known on this host, and whether each is running."""
    found = []
    for name in spec.names():
        try:
            known = spec.load(name)
        except FileNotFoundError:  # thrown away meanwhile
            continue
        found.append((known, alive(known)))
    return found


def sweep() -> None:
    """Throw away what processes left behind that were killed."""
    for known, running in machines():
        orphan = spec.started(known.owner_pid) != known.owner_started
        if orphan and not (known.keep and running):
            say(f"throwing away {known.name}, left by a process that is gone")
            kill(known)
            throw_away(known)
    places = cache.directory() / "machines"
    for place in places.iterdir() if places.exists() else ():
        # Of before a restart of the host: a machine is written down before it has a place.
        if not (spec.RUN / place.name / "spec.json").exists():
            overlay.unmount(place)
            cache.remove(place)


def build_images(suites: Sequence[str] = base.SUITES) -> None:
    """Make all that booting a bare machine needs."""
    for suite in suites:
        layers.disk(suite, ()).release()


def stop(name: str) -> None:
    """End a machine and throw it away. Raises LabError when there is none."""
    attach(name).destroy()
