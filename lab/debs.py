"""Builds the project's packages in a clean Debian 12, where nothing but Build-Depends is."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab import base, cache, overlay
from lab.errors import LabError
from lab.progress import step

SUITE = "bookworm"
ROOT = Path(__file__).resolve().parent.parent
CONTROL = ROOT / "packaging/debian/control"


def build(target: Path) -> list[Path]:
    """Build the packages of the working tree into `target`; what they are called there.

    Raises LabError with the end of the build's log.
    """
    chroot = cache.obtain(_name(), _bootstrap)
    log = cache.directory() / "build-debs.log"
    place = Path(tempfile.mkdtemp(prefix="debs-", dir=cache.directory()))
    try:
        root = overlay.mount([chroot.path], place)
        with step(f"building the packages (log {log})"):
            _copy_sources(root / "build/source")
            _run_build(root, log)
        return _collect(root / "build", target)
    finally:
        overlay.unmount(place)
        cache.remove(place)
        chroot.release()


def build_depends() -> list[str]:
    """The names in Build-Depends, sorted."""
    text = CONTROL.read_text()
    found = re.search(r"^Build-Depends:((?:.*\n)(?:[ \t].*\n)*)", text, re.MULTILINE)
    if found is None:
        raise LabError(f"{CONTROL} has no Build-Depends")
    names = [part.strip().split(" ")[0] for part in found[1].split(",")]
    return sorted("debhelper" if name == "debhelper-compat" else name for name in names if name)


def _name() -> str:
    return f"chroot-{SUITE}-{cache.digest(SUITE, *build_depends())}"


def _bootstrap(target: Path) -> None:
    command = ["mmdebstrap", "--mode=root", "--format=directory", "--variant=buildd"]
    command += [f"--include={','.join(build_depends())}", *base.proxy_options()]
    command += [SUITE, str(target), *base.sources(SUITE)]
    with step("making a clean chroot with the build's needs (1 to 2 minutes)"):
        base.run_told(command, cache.directory() / "build-chroot.log")


def _copy_sources(target: Path) -> None:
    """What git would commit: tracked or new, and not ignored."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    for name in listing.decode().split("\0"):
        source = ROOT / name
        if name and (source.is_symlink() or source.is_file()):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name, follow_symlinks=False)


def _run_build(root: Path, log: Path) -> None:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
    command = ["chroot", str(root), "sh", "-c", "cd /build/source && dpkg-buildpackage -us -uc -b"]
    with log.open("w") as file:
        done = subprocess.run(
            command, check=False, stdout=file, stderr=subprocess.STDOUT, env=environment
        )
    if done.returncode:
        tail = "".join(log.read_text().splitlines(keepends=True)[-30:])
        raise LabError(f"the build failed; the end of {log}:\n{tail}")


def _collect(built: Path, target: Path) -> list[Path]:
    """Replace the packages in `target`, and nothing else there."""
    target.mkdir(exist_ok=True)
    for old in target.glob("*.deb"):
        old.unlink()
    found = []
    for deb in sorted(built.glob("*.deb")):
        shutil.copyfile(deb, target / deb.name)
        os.utime(target / deb.name)
        found.append(target / deb.name)
    return found
