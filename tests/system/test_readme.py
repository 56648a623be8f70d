"""Every command in the documents does what it says, on a machine that was set up by them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.system.farm import Farm, worker_with

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
#: These set up databases and balancers, and are run where there are some (tests/packaging,
#: tests/masters).
ELSEWHERE = ("backup.md", "several-masters.md")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [page for page in PAGES if page.name not in ELSEWHERE]
#: Run by whoever runs these tests: the Makefile itself, and the fixture's apt.
BY_HAND = ("make demo", "make check")
#: The same command where nobody sits at a terminal.
UNATTENDED = {
    r"^systemd-cgtop\b": "systemd-cgtop --batch --iterations 1",
    r"^apt install ": "DEBIAN_FRONTEND=noninteractive apt-get install -y ",
    r"^systemctl status ": "systemctl --no-pager status ",
    r"^journalctl ": "journalctl --no-pager ",
    r"^ffmpeg-jobs events$": "timeout 5 ffmpeg-jobs events || test $? = 124",
    # The job that the other commands look at runs for an hour.
    r"^ffmpeg-worker drain --wait": "ffmpeg-worker drain",
}


def blocks() -> list[tuple[str, str]]:
    """Every shell block of every page: where it stands, and its text."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text[: block.start()].count("\n") + 1
            found.append((f"{page.name}:{line}", block[1]))
    return found


def test_documents_have_commands() -> None:
    assert len(blocks()) >= 5


def test_every_documented_command_works(container: Farm, debs: list[Path]) -> None:
    machine = container.machine
    for deb in debs:
        machine.push(deb, f"/root/dist/{deb.name}")
    machine.run("mkdir -p /root/tests/media", check=True)
    machine.push(ROOT / "tests/media/bigbuckbunny.mp4", "/root/tests/media/bigbuckbunny.mp4")
    with worker_with(container, max_concurrent_jobs=2):
        job = container.submit("--scenario", "preview", "--duration", "3600", "--cpu", "10")
        container.started(job)
        for where, text in blocks():
            if text.strip() in BY_HAND:
                continue
            script = "set -eo pipefail\n" + text.replace("job-ID.scope", f"job-{job}.scope")
            for pattern, replacement in UNATTENDED.items():
                script = re.sub(pattern, replacement, script, flags=re.MULTILINE)
            done = machine.run(script, timeout=300)
            assert done.returncode == 0, f"{where}\n{script}\n{done.stdout}{done.stderr}"
        container.end(job)
