"""Encoding speed inside scope and sandbox over the same ffmpeg alone, in turns, same clip."""

import json

from bench import farm, table

AIMS = (">= 0.99 x alone",)


def main() -> None:
    """Measure and print."""
    asked = farm.parser(__doc__).parse_args()
    with farm.farm(asked.suite, asked.backend, slots=2) as machine:
        farm.push_inside(machine, "held.py")
        program = farm.push_inside(machine, "encode_ours.py")
        found = json.loads(farm.in_place_of_worker(machine, program))
    # Whatever else the machine does only makes a run slower: the fastest tells most.
    wall, cpu = ({kind: min(run[i] for run in found[kind]) for kind in found} for i in (0, 1))
    rows = [
        (name, wall[kind], wall["bare"] / wall[kind], cpu[kind], cpu["bare"] / cpu[kind], aim)
        for name, kind, aim in (
            ("ffmpeg alone", "bare", ""),
            ("in scope and sandbox", "held", AIMS[0]),
        )
    ]
    head = ("", "fastest s", "speed, x alone", "least CPU s", "x alone", "aim")
    table.show(f"Encode of the clip to 720p, {len(found['held'])} runs each in turns", head, rows)


if __name__ == "__main__":
    main()
