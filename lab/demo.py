"""From packages to a real encode in a real scope, shown step by step."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from lab import terminal
from lab.errors import LabError
from lab.machine import Machine, best_backend, boot

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "tests/media/bigbuckbunny.mp4"
INPUT = "/var/lib/ffmpeg-worker/input/bigbuckbunny.mp4"
OUTPUT = "/var/lib/ffmpeg-worker/output/bigbuckbunny-360p.mp4"
SUBMIT = (
    f"ffmpeg-jobs submit --scenario preview --input {INPUT} --output {OUTPUT}"
    " --cpu 100 --memory 512 --label title=demo"
)
#: An emulated machine is a hundred times slower than its host.
PATIENCE_SECONDS = 900.0


def main() -> int:
    """Run the demo; 0 only if the output is a playable video."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="bookworm", help="bookworm or trixie")
    parser.add_argument("--keep", nargs="?", const="1", default="", help="leave it running")
    options = parser.parse_args()
    keep = options.keep not in ("", "0", "no")
    debs = sorted((ROOT / "dist").glob("*.deb"))
    if not debs:
        sys.exit("demo: there are no packages in dist/; run: make debs")
    try:
        with boot(options.suite, best_backend(), debs=debs, network=keep, keep=keep) as machine:
            status = _show(machine)
            if keep:
                _tell_kept(machine)
            return status
    except LabError as error:
        sys.exit(f"demo: {error}")


def _show(machine: Machine) -> int:
    _title("A machine with systemd, and what its kernel enforces")
    _say(f"{machine.suite}, {machine.backend}: {', '.join(sorted(machine.enforced)) or 'nothing'}")
    _run(machine, "systemctl --no-pager --no-legend list-units 'ffmpeg*'")
    machine.wait_until("systemctl is-active ffmpeg-master ffmpeg-worker", timeout=300)
    machine.wait_until("ffmpeg-jobs workers --json | jq -e 'any(.[]; .online)'", 300, interval=3)

    _title("A job")
    machine.push(CLIP, INPUT)
    machine.run(["chmod", "0644", INPUT], check=True)
    _say(f"$ {SUBMIT}")
    job = machine.run(SUBMIT, check=True).stdout.strip()
    _say(job)
    scope = f"/sys/fs/cgroup/ffmpeg.slice/ffmpeg-job-{job}.scope"
    machine.wait_until(
        f"grep -qx ffmpeg $(sed 's,.*,/proc/&/comm,' {scope}/cgroup.procs)", 300, interval=1
    )

    _title("Its scope, while it runs")
    _run(machine, f"systemctl --no-pager --lines 3 status ffmpeg-job-{job}.scope")
    _run(machine, f"systemd-cgtop --batch --iterations 2 --delay 2 | grep {job}")
    _run(machine, f"cd {scope}; grep -H . cpu.max memory.max pids.max")

    _title("Its progress")
    watched = terminal.run(machine, ["ffmpeg-jobs", "watch", job], PATIENCE_SECONDS)
    return _result(machine, job) or watched


def _result(machine: Machine, job: str) -> int:
    """Show how it ended; 0 if the output plays from its first frame to its last."""
    _title("Its result")
    ended: dict[str, Any] = json.loads(machine.run(["ffmpeg-jobs", "show", "--json", job]).stdout)
    usage, media = ended.get("usage") or {}, ended.get("media") or {}
    _say(f"state        {ended['state']} (attempt {ended['attempt']}) {ended.get('error', '')}")
    _say(
        f"duration     {media.get('duration_seconds')} s, encoded in {usage.get('wall_seconds')} s"
    )
    _say(f"CPU          {usage.get('cpu_seconds')} s")
    _say(f"peak memory  {(usage.get('memory_peak_bytes') or 0) / (1 << 20):.1f} MiB")
    probe = "-v error -show_entries stream=codec_name,width,height,duration -of csv=p=0"
    _run(machine, f"ffprobe {probe} {OUTPUT}")
    decoded = machine.run(f"ffmpeg -v error -i {OUTPUT} -f null - 2>&1", timeout=PATIENCE_SECONDS)
    playable = decoded.returncode == 0 and not decoded.stdout.strip()
    _say("every frame of it plays" if playable else f"it does not play:\n{decoded.stdout}")
    return 0 if playable and ended["state"] == "completed" else 1


def _tell_kept(machine: Machine) -> None:
    host, port = machine.address
    _title("The machine is still running")
    _say(f"enter it     lab/run --enter {machine.name} -- bash")
    _say(f"its API      http://{host}:{port}/health (keys: /etc/ffmpeg-worker/admin-key in it)")
    _say("try next     ffmpeg-jobs submit --scenario 720p-h264 --duration 30 --watch")
    _say("             systemd-cgtop; systemctl restart ffmpeg-worker while a job runs")
    _say(f"throw away   lab/run --stop {machine.name}")


def _run(machine: Machine, command: str) -> None:
    """Show a command and what it prints."""
    _say(f"$ {command}")
    done = machine.run(command, timeout=120)
    _say((done.stdout + done.stderr).rstrip())


def _title(text: str) -> None:
    stamp = time.strftime("%H:%M:%S")
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}== {text}{plain}  ({stamp})", flush=True)


def _say(text: str) -> None:
    print(text, flush=True)
