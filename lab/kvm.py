"""May we use /dev/kvm? It can be there and yet hang an ordinary guest kernel."""

import json
import os
import subprocess
from pathlib import Path

from lab import cache
from lab.progress import say

PROBE_SECONDS = 8
_SEEN = "Linux version"
_REACHED = "Unable to mount root fs"


def accelerator(kernel: str) -> list[str]:
    """The qemu options for the fastest thing that works here."""
    if usable(kernel):
        return ["-accel", "kvm", "-cpu", "host"]
    # Without pku, which costs much in emulation and which nothing here uses.
    return ["-accel", "tcg,thread=multi", "-cpu", "max,-pku"]


def usable(kernel: str) -> bool:
    """Boot this kernel without a disk, up to its panic; the answer is remembered."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    with cache.locked("kvm"):
        answers = _answers()
        key = _key(kernel)
        if key not in answers:
            answers[key] = _probe(kernel)
            _memory().write_text(json.dumps(answers))
            say(f"/dev/kvm {'works' if answers[key] else 'hangs: machines are emulated (TCG)'}")
    return answers[key]


def distrust(kernel: str) -> None:
    """A machine with this kernel did not boot: from now on, do without /dev/kvm."""
    with cache.locked("kvm"):
        _memory().write_text(json.dumps({**_answers(), _key(kernel): False}))


def _memory() -> Path:
    return cache.directory() / "kvm.json"


def _answers() -> dict[str, bool]:
    answers: dict[str, bool] = json.loads(_memory().read_text()) if _memory().exists() else {}
    return answers


def _key(kernel: str) -> str:
    return cache.digest(Path(kernel).name, os.uname().release, _processor())


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line for line in lines if line.startswith("model name")), "")


def _probe(kernel: str) -> bool:
    command = [
        "qemu-system-x86_64",
        *("-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "512"),
        *("-display", "none", "-monitor", "none", "-serial", "stdio", "-net", "none"),
        *("-no-reboot", "-kernel", kernel, "-append", "console=ttyS0 panic=-1"),
    ]
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False
    console = done.stdout.decode(errors="replace")
    return _SEEN in console and _REACHED in console
