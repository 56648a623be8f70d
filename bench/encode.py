"""Encoding speed inside scope and sandbox over the same ffmpeg alone, in turns, same clip."""

import json
import statistics

from bench import farm, table


def main() -> None:
    """Measure and print."""
    asked = farm.parser(__doc__).parse_args()
    with farm.farm(asked.suite, asked.backend, slots=2) as machine:
        program = farm.push_inside(machine, "encode_ours.py")
        found = json.loads(farm.in_place_of_worker(machine, program))
    # Whatever else the machine does only makes a run slower: the fastest tells most.
    rows = [
        (
            name,
            min(found[kind]),
            statistics.median(found[kind]),
            min(found["bare"]) / min(found[kind]),
        )
        for name, kind in (("ffmpeg alone", "bare"), ("in scope and sandbox", "held"))
    ]
    head = ("", "fastest s", "median s", "speed, x alone")
    table.show(f"Encode of the clip to 720p, {len(found['held'])} runs each in turns", head, rows)


if __name__ == "__main__":
    main()
