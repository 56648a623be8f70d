"""What a machine is: written down, so that another process can find it again."""

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lab import cache

Backend = Literal["container", "vm"]
# Short, because the path of a UNIX socket has at most 107 bytes.
RUN = Path("/run/ffmpeg-lab")


@dataclass(frozen=True)
class Spec:
    """One machine. Paths are strings, for JSON's sake."""

    name: str
    suite: str
    backend: Backend
    kernel: str
    initrd: str
    layers: tuple[str, ...]  # container: its root, topmost first
    disk: str  # vm: the image under its own changes
    network: bool
    api_port: int  # on the host's loopback, leads to port 8080 of a vm; 0: none
    memory_mb: int
    cpus: int
    keep: bool
    bulk: str
    owner_pid: int
    owner_started: str

    @property
    def run(self) -> Path:
        """Sockets, console, pid."""
        return RUN / self.name

    @property
    def agent(self) -> Path:
        return self.run / "agent"

    @property
    def console(self) -> Path:
        return self.run / "console.log"

    @property
    def place(self) -> Path:
        """Its changes to the image."""
        return Path(self.bulk)

    def save(self) -> None:
        self.agent.mkdir(parents=True, exist_ok=True)
        temporary = self.run / "spec.new"
        temporary.write_text(json.dumps(asdict(self), indent=1))
        temporary.rename(self.run / "spec.json")
        self.place.mkdir(parents=True, exist_ok=True)


def load(name: str) -> Spec:
    """Raises FileNotFoundError when there is no such machine."""
    values: dict[str, Any] = json.loads((RUN / name / "spec.json").read_text())
    values["layers"] = tuple(values["layers"])
    return Spec(**values)


def names() -> list[str]:
    return sorted(path.parent.name for path in RUN.glob("*/spec.json"))


def started(pid: int) -> str:
    """When a process started, in clock ticks: tells a process from a later one of its number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def make(
    suite: str,
    backend: Backend,
    *,
    layers: Sequence[Path] = (),
    disk: Path | None = None,
    kernel: Path | None = None,
    initrd: Path | None = None,
    name: str = "",
    network: bool = False,
    api_port: int = 0,
    memory_mb: int = 2048,
    cpus: int = 2,
    keep: bool = False,
) -> Spec:
    """The spec of a new machine of this process."""
    name = name or f"{suite}-{backend[0]}{secrets.token_hex(2)}"
    return Spec(
        name=name,
        suite=suite,
        backend=backend,
        kernel=str(kernel or ""),
        initrd=str(initrd or ""),
        layers=tuple(str(layer) for layer in layers),
        disk=str(disk or ""),
        network=network,
        api_port=api_port,
        memory_mb=memory_mb,
        cpus=cpus,
        keep=keep,
        bulk=str(cache.directory() / "machines" / name),
        owner_pid=os.getpid(),
        owner_started=started(os.getpid()),
    )
