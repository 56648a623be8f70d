"""A restart of the worker with 50 running jobs: how long until all of them are adopted."""

import json
import time

from bench import farm, table

JOBS = 50
#: In ffmpeg's place: it runs, and asks nothing of the machine.
ASLEEP = "#!/bin/sh\nexec sleep 3600\n"


def main() -> None:
    """Measure and print."""
    asked = farm.parser(__doc__).parse_args()
    with farm.farm(asked.suite, asked.backend, slots=JOBS) as machine:
        farm.in_place_of_ffmpeg(machine, ASLEEP)
        submit = "ffmpeg-jobs submit --scenario preview --duration 60 --cpu 10 --memory 32 --disk 1"
        machine.run(f"for i in $(seq {JOBS}); do {submit}; done", check=True, timeout=300)
        holders = f"test $(pgrep -fc [h]older.py) -eq {JOBS}"
        machine.wait_until(holders, timeout=300)
        ready = f"curl -sf http://127.0.0.1:9091/health | jq -e '.running == {JOBS}'"
        machine.wait_until(ready, timeout=60)
        began = time.monotonic()
        machine.run("systemctl restart ffmpeg-worker", check=True)
        restarted = time.monotonic() - began
        machine.wait_until(ready, timeout=60, interval=0.05)
        adopted = time.monotonic() - began
        told = "journalctl -u ffmpeg-worker -o json --no-pager -n 400"
        marks = [json.loads(line) for line in machine.run(told).stdout.splitlines()]
        times = [
            int(m["__REALTIME_TIMESTAMP"]) / 1e6 for m in marks if "adopted" in str(m["MESSAGE"])
        ]
        kept = machine.run(holders).returncode == 0
    rows = [
        ("systemctl restart returns (READY=1)", restarted),
        (f"all {JOBS} are watched again", adopted),
        ("first to last adoption", max(times) - min(times)),
    ]
    table.show(f"Restart with {JOBS} running jobs; all still run: {kept}", ("", "s"), rows)


if __name__ == "__main__":
    main()
