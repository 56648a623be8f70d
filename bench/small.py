"""What short jobs cost: clips of 1 s and of 10 s through the whole installed farm, with 1, 2 and 4
places, and by ``xargs -P`` with the very same ffmpeg command.

Also how soon ffmpeg starts on an idle farm, from submit to its exec.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from lab.machine import Machine

from bench import farm, table

PLACES = (1, 2, 4)
#: How many clips of so many seconds.
CLIPS = {1: 60, 10: 16}
SPEED_AIMS = {1: ">= 0.75 x speed", 10: ">= 0.97 x speed"}
CPU_AIMS = {1: "<= 1.5 x CPU", 10: "<= 1.05 x CPU"}
START_AIM = "p50 <= 30 ms, p99 <= 100 ms"
AIMS = (*SPEED_AIMS.values(), *CPU_AIMS.values(), START_AIM)
FOLDER = "/var/lib/ffmpeg-worker"
#: In ffmpeg's place: it says in its log when it began, and ends.
STAMP = "#!/bin/sh\nexec date +%s%N\n"
ALONE_TIMES = 40

#: What a step of bench/inside/small.py found.
Found = dict[str, Any]
#: By the clips' seconds and the places: ours, and the peer's.
Both = Mapping[tuple[int, int], tuple[Found, Found]]


def main() -> None:
    """Measure and print."""
    options = farm.parser(__doc__)
    options.add_argument("--clips", type=int, nargs=2, default=list(CLIPS.values()))
    options.add_argument("--starts", type=int, default=100, help="on an idle farm")
    asked = options.parse_args()
    clips = dict(zip(CLIPS, asked.clips, strict=True))
    with farm.farm(asked.suite, asked.backend, slots=max(PLACES)) as machine:
        for shared in ("cgroups.py", "small.py"):
            farm.push_inside(machine, shared)
        found: dict[tuple[int, int], tuple[Found, Found]] = {}
        for seconds, count in clips.items():
            _cut(machine, seconds, count)
        for places in PLACES:
            farm.restart_worker(machine, places)
            for seconds, count in clips.items():
                found[seconds, places] = _both(machine, seconds, count, places)
        alone = _alone(machine, found[1, 1][0])
        farm.in_place_of_ffmpeg(machine, STAMP)
        starts = _inside(machine, "start", asked.starts)
    alone["held"] = starts["jobs_cpu"] - alone.pop("stamp")
    ordered = {key: found[key] for key in sorted(found)}
    _show_speed(ordered, clips)
    _show_cpu(ordered, clips, alone)
    _show_starts(starts["ms"])


def _inside(machine: Machine, *words: object) -> Any:
    command = ["/usr/bin/python3", f"{farm.INSIDE}/small.py", *map(str, words)]
    return json.loads(machine.run(command, check=True, timeout=900).stdout)


def _clip(seconds: int) -> str:
    return f"{FOLDER}/input/{seconds}s/{{}}.mp4"


def _cut(machine: Machine, seconds: int, count: int) -> None:
    """Make so many clips, each a file of its own."""
    first = _clip(seconds).format(0)
    for command in (
        f"mkdir -p {FOLDER}/input/{seconds}s",
        f"ffmpeg -v error -stream_loop -1 -i {farm.INPUT} -t {seconds} -c copy {first}",
        f"for n in $(seq {count - 1}); do cp {first} {FOLDER}/input/{seconds}s/$n.mp4; done",
        f"chmod -R a+rX {FOLDER}/input",
    ):
        machine.run(command, check=True)


def _both(machine: Machine, seconds: int, count: int, places: int) -> tuple[Found, Found]:
    """By the farm, then by xargs."""
    clip = _clip(seconds)
    ours = _inside(machine, "farm", places, clip, count)
    place = f"{FOLDER}/output/xargs-{{}}"
    own = {"file:/input": f"file:{clip}", "file:/output": f"file:{place}.mp4"}
    argv = [own.get(part, part) for part in _bare(ours["run"])]
    argv = [part.replace("/job/", f"{place}-") for part in argv]
    machine.run(f"rm -f {FOLDER}/output/xargs-*", check=True)
    peer = _inside(machine, "xargs", places, clip, count, *argv)
    assert abs(ours["size"] - peer["size"]) < peer["size"] / 100, (ours["size"], peer["size"])
    return ours, peer


def _bare(argv: Sequence[str]) -> list[str]:
    """A command without its sandbox."""
    return list(argv[list(argv).index("--") + 1 :])


def _alone(machine: Machine, ours: Found) -> dict[str, float]:
    """CPU seconds of what a job runs beside ffmpeg, each alone."""
    output = f"file:{FOLDER}/output/xargs-0.mp4"
    probe = [output if part == "file:/output" else part for part in _bare(ours["probe"])]
    machine.write(f"{farm.INSIDE}/stamp", STAMP, 0o755)
    commands = {"ffprobe": probe, "stamp": [f"{farm.INSIDE}/stamp"]}
    return {name: _inside(machine, "alone", ALONE_TIMES, *argv) for name, argv in commands.items()}


def _show_speed(found: Both, clips: dict[int, int]) -> None:
    rows = []
    for (seconds, places), (ours, peer) in found.items():
        count = clips[seconds]
        cpu = [cost * 1000 / count for cost in (_cpu(ours), peer["cpu"])]
        speed = peer["seconds"] / ours["seconds"]
        walls = (ours["seconds"], peer["seconds"], speed)
        aim = f"{SPEED_AIMS[seconds]}; {CPU_AIMS[seconds]}"
        name = f"{count} clips of {seconds} s, {places} places"
        rows.append((name, *walls, *cpu, cpu[0] / cpu[1], ours["idle"] * 100, aim))
    head = ("", "wall s", "xargs", "speed, x xargs", "CPU ms/job", "xargs", "x xargs")
    table.show(
        "Clips through the whole farm, from submit until all are completed, and by xargs -P",
        (*head, "places idle, %", "aim"),
        rows,
    )


def _cpu(ours: Found) -> float:
    """Of all services, without what else the machine did."""
    cpu: dict[str, float] = ours["cpu"]
    return sum(seconds for name, seconds in cpu.items() if name != "machine")


def _show_cpu(
    found: Both,
    clips: dict[int, int],
    alone: Mapping[str, float],
) -> None:
    parts = {key: _parts(ours["cpu"], clips[key[0]], alone) for key, (ours, _) in found.items()}
    names = list(next(iter(parts.values())))
    rows = [(name, *(of[name] for of in parts.values())) for name in names]
    table.show(
        "Where the CPU goes, ms a job. ffprobe: measured alone; bwrap and holder: of jobs whose"
        " ffmpeg does nothing; ffmpeg: the rest of the scopes. The clips' seconds, and the places",
        ("", *(f"{seconds} s, {places}" for seconds, places in parts)),
        rows,
    )


def _parts(cpu: Mapping[str, float], count: int, alone: Mapping[str, float]) -> dict[str, float]:
    each = {name: seconds * 1000 / count for name, seconds in cpu.items()}
    jobs, machine = each.pop("jobs"), each.pop("machine")
    around, ffprobe = alone["held"] * 1000, alone["ffprobe"] * 1000
    scopes = {"ffmpeg": jobs - around, "ffprobe": ffprobe, "bwrap and holder": around - ffprobe}
    return {**scopes, **each, "the rest of the machine": machine - jobs - sum(each.values())}


def _show_starts(waits: Sequence[float]) -> None:
    parts = statistics.quantiles(waits, n=100, method="inclusive")
    table.show(
        f"From submit to ffmpeg's first act on an idle farm, ms, {len(waits)} times",
        ("least", "p50", "p90", "p99", "most", "aim"),
        [(min(waits), parts[49], parts[89], parts[98], max(waits), START_AIM)],
    )


if __name__ == "__main__":
    main()
