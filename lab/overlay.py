"""A writable root over read-only layers, without copying them."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError


def mount(layers: Sequence[Path], place: Path) -> Path:
    """Mount `layers` (topmost first) at place/root; changes go to place/upper."""
    root = place / "root"
    for part in ("upper", "work", "root"):
        (place / part).mkdir(parents=True, exist_ok=True)
    options = ",".join(
        [
            f"lowerdir={':'.join(str(layer) for layer in layers)}",
            f"upperdir={place / 'upper'}",
            f"workdir={place / 'work'}",
            # So that the upper directory can serve as a layer later.
            "redirect_dir=off,metacopy=off,index=off",
        ]
    )
    command = ["mount", "-t", "overlay", "-o", options, "overlay", str(root)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"cannot mount the machine's root: {done.stderr.strip()}")
    return root


def unmount(place: Path) -> None:
    """Undo mount(); lazily where something still clings to it."""
    root = place / "root"
    for command in (["umount"], ["umount"], ["umount", "--lazy"]):
        if not root.is_mount():
            return
        done = subprocess.run([*command, str(root)], check=False, capture_output=True)
        if done.returncode:
            time.sleep(0.2)
