"""How exactly a CPU limit is kept: CPU time over wall time of a job that wants all there is."""

import time

from lab.machine import Machine

from bench import farm, table

LIMITS = (50, 100, 150)
#: Long against the kernel's period of 100 ms.
WATCH_SECONDS = 30.0


def main() -> None:
    """Measure and print."""
    asked = farm.parser(__doc__, backend="vm").parse_args()
    with farm.farm(asked.suite, asked.backend, slots=1) as machine:
        rows = [_measure(machine, percent) for percent in LIMITS]
    head = ("limit %", "used %", "used / limit", "throttled %")
    table.show(f"CPU limits, each over {WATCH_SECONDS:.0f} s", head, rows)


def _measure(machine: Machine, percent: int) -> tuple[object, ...]:
    submit = "ffmpeg-jobs submit --scenario 1080p-h264 --duration 3600 --timeout 3600"
    job = machine.run(f"{submit} --cpu {percent}", check=True).stdout.strip()
    scope = f"/sys/fs/cgroup/ffmpeg.slice/ffmpeg-job-{job}.scope"
    started = f"test $(awk '/^usage_usec/ {{print $2}}' {scope}/cpu.stat) -gt 8000000"
    machine.wait_until(started, timeout=600, interval=2)
    before = _read(machine, scope)
    time.sleep(WATCH_SECONDS)
    after = _read(machine, scope)
    machine.run(["ffmpeg-jobs", "cancel", job], check=True)
    machine.wait_until(f"! test -e {scope}", timeout=300, interval=1)
    wall, used, held_back = (b - a for a, b in zip(before, after, strict=True))
    return percent, 100 * used / wall, 100 * used / wall / percent, 100 * held_back / wall


def _read(machine: Machine, scope: str) -> tuple[float, float, float]:
    """Uptime, CPU time and throttled time, all in seconds, read at once."""
    words = machine.run(f"cat /proc/uptime {scope}/cpu.stat", check=True).stdout.split()
    stat = dict(zip(words[2::2], words[3::2], strict=True))
    return float(words[0]), int(stat["usage_usec"]) / 1e6, int(stat["throttled_usec"]) / 1e6


if __name__ == "__main__":
    main()
