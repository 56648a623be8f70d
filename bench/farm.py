"""A machine of the lab with the installed packages, prepared for measuring."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.machine import Machine, boot

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "tests/media/bigbuckbunny.mp4"
INPUT = "/var/lib/ffmpeg-worker/input/clip.mp4"
INSIDE = "/opt/bench"
CONFIG = "/etc/ffmpeg-worker/worker.toml"
#: The table [capacity]: a benchmark says how many jobs run, not what their limits add up to.
ROOM = ("jobs_cpu_percent = 102400", "jobs_memory_mb = 1048576")


def parser(words: str | None, *, backend: str = "container") -> argparse.ArgumentParser:
    """The options that every benchmark on a machine has."""
    made = argparse.ArgumentParser(description=words)
    made.add_argument("--suite", default="bookworm", help="bookworm or trixie")
    made.add_argument("--backend", default=backend, help="container (native speed) or vm")
    return made


@contextmanager
def farm(suite: str, backend: str, slots: int) -> Iterator[Machine]:
    """Boot, install, and wait until the worker is online with room for ``slots`` jobs."""
    debs = sorted((ROOT / "dist").glob("*.deb"))
    if not debs:
        sys.exit("bench: there are no packages in dist/; run: make debs")
    with boot(suite, backend, debs=debs, memory_mb=4096) as machine:  # type: ignore[arg-type]
        ready = "systemctl is-active ffmpeg-master ffmpeg-worker"
        machine.wait_until(ready, timeout=300)
        settings = [f"max_concurrent_jobs = {slots}"]
        if not {"cpu", "memory", "pids"} <= machine.enforced:
            settings.append("require_enforcement = false")
        edits = [*(f"1i {line}" for line in settings), *(f"/^.capacity.$/a {r}" for r in ROOM)]
        for edit in edits:
            machine.run(["sed", "-i", edit, CONFIG], check=True)
        machine.push(CLIP, INPUT)
        machine.run(["chmod", "0644", INPUT], check=True)
        machine.run(["mkdir", "-p", INSIDE], check=True)
        restart_worker(machine, slots)
        yield machine


def restart_worker(machine: Machine, slots: int) -> None:
    """Have it run ``slots`` jobs at a time; it is online when this returns."""
    edit = f"s/^max_concurrent_jobs = .*/max_concurrent_jobs = {slots}/"
    machine.run(["sed", "-i", edit, CONFIG], check=True)
    machine.run("systemctl restart ffmpeg-worker", check=True)
    room = f".online and .machine.max_concurrent_jobs == {slots}"
    online = f"ffmpeg-jobs workers --json | jq -e 'any(.[]; {room})'"
    machine.wait_until(online, timeout=300, interval=1)


def push_inside(machine: Machine, name: str) -> str:
    """Put a program of ``bench/inside`` into the machine; its path there."""
    path = f"{INSIDE}/{name}"
    machine.push(Path(__file__).parent / "inside" / name, path)
    machine.run(["chmod", "0755", path], check=True)
    return path


def in_place_of_ffmpeg(machine: Machine, script: str) -> None:
    """From now on ``script`` runs where ffmpeg would; the real one is /usr/bin/ffmpeg.real."""
    divert = "dpkg-divert --local --rename --divert /usr/bin/ffmpeg.real --add /usr/bin/ffmpeg"
    machine.run(divert, check=True)
    machine.write("/usr/bin/ffmpeg", script, 0o755)


def in_place_of_worker(machine: Machine, program: str) -> str:
    """Run ``program`` as the worker's service, with all its walls; what it wrote.

    The launcher takes processes only from that service's cgroup, so this is where a
    benchmark of the worker's own code must stand.
    """
    drop_in = (
        f"[Service]\nType=exec\nRestart=no\nWatchdogSec=0\nExecStart=\n"
        f"ExecStart=/usr/bin/python3 {program}\n"
    )
    folder = "/etc/systemd/system/ffmpeg-worker.service.d"
    machine.run(f"systemctl stop ffmpeg-worker; mkdir -p {folder}", check=True)
    machine.write(f"{folder}/bench.conf", drop_in, 0o644)
    machine.run("systemctl daemon-reload", check=True)
    machine.run("systemctl start ffmpeg-worker", check=True)
    over = "systemctl is-active ffmpeg-worker | grep -Eq '^(inactive|failed)'"
    machine.wait_until(over, timeout=900, interval=1)
    if machine.run("systemctl is-failed ffmpeg-worker").returncode == 0:
        log = "journalctl -u ffmpeg-worker -u ffmpeg-worker-launcher -n 60 --no-pager"
        sys.exit(machine.run(log).stdout)
    return machine.run("cat /var/lib/ffmpeg-worker/bench.json", check=True).stdout
