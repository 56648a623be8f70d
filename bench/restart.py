"""A restart of the worker with 50 running jobs: how long until it has all of them in hand again.

A job is in hand when the new worker waits for the end of its very process, and when the master
has heard of it from the new worker, which renews its lease.
"""

import json

from bench import farm, table

JOBS = 50
#: In ffmpeg's place: it runs, and asks nothing of the machine.
ASLEEP = "#!/bin/sh\nexec sleep 3600\n"
SUBMIT = "ffmpeg-jobs submit --scenario preview --duration 60 --cpu 10 --memory 32 --disk 1"


def main() -> None:
    """Measure and print."""
    asked = farm.parser(__doc__).parse_args()
    with farm.farm(asked.suite, asked.backend, slots=JOBS) as machine:
        farm.in_place_of_ffmpeg(machine, ASLEEP)
        program = farm.push_inside(machine, "restart_ours.py")
        machine.run(f"for i in $(seq {JOBS}); do {SUBMIT}; done", check=True, timeout=300)
        asleep = "test $(cat /sys/fs/cgroup/ffmpeg.slice/*/cgroup.procs | xargs ps -o comm= -p"
        machine.wait_until(f"{asleep} | grep -c sleep) -eq {JOBS}", timeout=300)
        found = json.loads(machine.run(f"/usr/bin/python3 {program}", check=True).stdout)
    assert found["jobs"] == found["holders"] == JOBS, found
    rows = [
        ("systemctl restart returns (READY=1)", found["ready"]),
        (f"it waits for the end of all {JOBS}", found["watched"]),
        (f"the master has heard of all {JOBS} from it", found["told"]),
    ]
    title = f"Restart with {JOBS} running jobs; all their processes are the same as before"
    table.show(title, ("", "s"), rows)


if __name__ == "__main__":
    main()
