"""Machines with the installed packages: real systemd, real kernel limits, both Debians."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.machine import Machine, boot
from lab.spec import Backend

from tests.system.farm import Farm

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "tests/media/bigbuckbunny.mp4"
SUITES = ("bookworm", "trixie")
#: Set to "vm", it runs in virtual machines also what needs none: slower, and nothing is left out.
BACKEND: Backend = "vm" if os.environ.get("FFMPEG_LAB_BACKEND") == "vm" else "container"


@pytest.fixture(scope="session")
def debs() -> list[Path]:
    """The packages that ``make debs`` built."""
    found = sorted((ROOT / "dist").glob("*.deb"))
    if not found:
        reason = "there are no packages in dist/; run: make debs"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session", params=SUITES)
def vm(request: pytest.FixtureRequest, debs: list[Path]) -> Iterator[Farm]:
    """A virtual machine: every limit is enforced."""
    with boot(request.param, "vm", debs=debs) as machine:
        yield _ready(machine)


@pytest.fixture(scope="session", params=SUITES)
def container(request: pytest.FixtureRequest, debs: list[Path]) -> Iterator[Farm]:
    """A container: native speed, for all that does not need the kernel's limits."""
    with boot(request.param, BACKEND, debs=debs) as machine:
        if not {"cpu", "memory", "pids"} <= machine.enforced:
            machine.run(
                "sed -i '1i require_enforcement = false' /etc/ffmpeg-worker/worker.toml"
                " && systemctl restart ffmpeg-worker",
                check=True,
            )
        yield _ready(machine)


def _ready(machine: Machine) -> Farm:
    machine.wait_until("systemctl is-active ffmpeg-master ffmpeg-worker", timeout=300)
    machine.push(CLIP, "/var/lib/ffmpeg-worker/input/clip.mp4")
    machine.run("chmod 0644 /var/lib/ffmpeg-worker/input/clip.mp4", check=True)
    farm = Farm(machine)
    machine.wait_until(
        f"{farm.ask('/workers')} | jq -e 'any(.[]; .online)'", timeout=300, interval=2
    )
    return farm


@pytest.fixture(autouse=True)
def explain(request: pytest.FixtureRequest) -> Iterator[None]:
    """Show the machine's journal beside a failure, and clear away what it left running."""
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed > failed_before:
        for name in ("vm", "container"):
            if name in request.fixturenames:
                farm: Farm = request.getfixturevalue(name)
                sys.stderr.write(farm.machine.journal(lines=80))
                farm.end_all()
