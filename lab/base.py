"""The base image: a minimal Debian that boots, and a repository inside it."""

import os
import subprocess
from pathlib import Path

from lab import cache
from lab.errors import LabError
from lab.progress import say, step

SUITES = ("bookworm", "trixie")
HERE = Path(__file__).resolve().parent
HOOK = HERE / "build-hook.sh"
OPTIONS = (
    "--mode=root",
    "--format=directory",
    "--variant=minbase",
    "--skip=cleanup/apt/lists",  # of the repository inside
)
DEFAULT_MIRRORS = {
    "Debian": "http://deb.debian.org/debian",
    "Debian-Security": "http://deb.debian.org/debian-security",
}


def packages(section: str) -> list[str]:
    """The names listed in one [section] of packages.txt, sorted."""
    found: list[str] = []
    current = ""
    for line in (HERE / "packages.txt").read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("["):
            current = text.strip("[]")
        elif text and current == section:
            found.append(text)
    return sorted(found)


def mirrors() -> dict[str, str]:
    """Where this host's apt gets Debian and its security updates from."""
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"],
        check=False,
        capture_output=True,
        text=True,
    ).stdout
    found = dict(DEFAULT_MIRRORS)
    for line in listing.splitlines():
        label, _, uri = line.partition(" ")
        if label in found and uri.startswith(("http://", "https://")):
            found[label] = uri.rstrip("/")
    return found


def sources(suite: str) -> list[str]:
    where = mirrors()
    debian, security = where["Debian"], where["Debian-Security"]
    return [
        f"deb {debian} {suite} main",
        f"deb {debian} {suite}-updates main",
        f"deb {security} {suite}-security main",
    ]


def name(suite: str) -> str:
    """What the image is called in the cache: the same recipe, the same name."""
    if suite not in SUITES:
        raise LabError(f"unknown suite {suite!r}: choose one of {', '.join(SUITES)}")
    recipe = [HOOK.read_text(), *OPTIONS, *packages("base"), "--", *packages("candidates")]
    return f"base-{suite}-{cache.digest(suite, *recipe)}"


def obtain(suite: str) -> cache.Held:
    """The base image of a suite as a directory tree, made on first use (1 to 3 minutes)."""
    return cache.obtain(name(suite), lambda target: _build(suite, target))


def proxy_options() -> list[str]:
    """The host's way out; the image keeps nothing of it (build-hook.sh)."""
    dump = subprocess.run(
        ["apt-config", "dump", "--format", "%f=%v%n"], check=True, capture_output=True, text=True
    ).stdout
    wanted = ("Acquire::http", "Acquire::https")
    options = []
    for line in dump.splitlines():
        key, _, value = line.partition("=")
        if value and key.startswith(wanted) and ("Proxy" in key or "CaInfo" in key):
            options.append(f'--aptopt={key} "{value}";')
    return options


def _build(suite: str, target: Path) -> None:
    log = cache.directory() / f"build-{suite}.log"
    command = [
        "mmdebstrap",
        *OPTIONS,
        f"--include={','.join(packages('base'))}",
        f'--customize-hook="{HOOK}" "$1" {" ".join(packages("candidates"))}',
        *proxy_options(),
        suite,
        str(target),
        *sources(suite),
    ]
    with step(f"building the base image of {suite} (1 to 3 minutes, log {log})"):
        run_told(command, log)


def run_told(command: list[str], log: Path) -> None:
    """Run it, everything into the log, its own headlines also to the user."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    with (
        log.open("w") as file,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - for the type checker
        for line in process.stdout:
            file.write(line)
            if line.startswith(("I: ", "E: ")):
                say(f"  {line[3:].rstrip()}")
    if process.returncode:
        tail = "".join(log.read_text().splitlines(keepends=True)[-15:])
        raise LabError(f"{command[0]} failed with {process.returncode}; the end of {log}:\n{tail}")


def kernel(root: Path) -> tuple[Path, Path]:
    """Kernel and initial ramdisk of an image."""
    kernels = sorted((root / "boot").glob("vmlinuz-*"))
    if not kernels:
        raise LabError(f"no kernel in {root}/boot")
    return kernels[-1], root / "boot" / kernels[-1].name.replace("vmlinuz", "initrd.img", 1)
