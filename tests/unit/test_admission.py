"""May this machine take one more job?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from ffmpeg_jobs.model import Free
from ffmpeg_worker.admission import (
    Taken,
    Thresholds,
    Vitals,
    Volume,
    free,
    full,
    held_back,
    pressed,
)
from ffmpeg_worker.capacity import Share

SHARE = Share(cpu_percent=400, memory_mb=8000, disk_mb=50000)
CALM = {"cpu": 99.0, "memory": 0.0, "io": 12.5}
UNKNOWN = {"cpu": None, "memory": None, "io": None}
WELL = Vitals(
    free=Free(400, 8000, 50000, 3),
    share=SHARE,
    volume=Volume("/var/lib/ffmpeg-worker", 40.0, 5.0),
    pressure=CALM,
    thresholds=Thresholds(),
    pressed=frozenset(),
)


def test_what_runs_is_taken_from_what_jobs_may_have() -> None:
    taken = [Taken(150, 2048, 5000), Taken(100, 1024, 0)]
    assert free(SHARE, 3, 2, taken) == Free(150, 4928, 45000, 1)
    assert free(SHARE, 3, 1, []) == Free(400, 8000, 50000, 2)


def test_more_promised_than_there_is_leaves_nothing() -> None:
    assert free(SHARE, 1, 2, [Taken(800, 9000, 90000)]) == Free(0, 0, 0, 0)


@pytest.mark.parametrize(
    ("vitals", "why"),
    [
        (WELL, None),
        (replace(WELL, pressure=UNKNOWN), None),
        (replace(WELL, free=Free(0, 1, 1, 1)), None),
        (
            replace(WELL, volume=Volume("/srv", 4.94, 5.0)),
            "the volume of /srv has 4.9 % free; 5 % are needed",
        ),
        (
            replace(WELL, pressure=CALM | {"io": 91.2}, pressed=frozenset({"io"})),
            "io pressure is 91 % (some avg10); new jobs wait until it is below 64 %",
        ),
    ],
)
def test_the_reason(vitals: Vitals, why: str | None) -> None:
    assert held_back(vitals) == why


@pytest.mark.parametrize(
    ("free_now", "why"),
    [
        (Free(0, 1, 1, 0), None),
        (
            Free(1, 1, 0, 1),
            "the jobs that run may fill the volume of /var/lib/ffmpeg-worker (max_disk_mb)",
        ),
        (Free(1, 0, 1, 1), "the jobs that run may use all 8000 MB of memory for jobs"),
    ],
)
def test_what_leaves_no_room_is_no_reason_that_the_master_keeps(
    free_now: Free, why: str | None
) -> None:
    vitals = replace(WELL, free=free_now)
    assert (full(vitals), held_back(vitals)) == (why, None)


@pytest.mark.parametrize(
    ("memory", "before", "holds"),
    [
        (20.0, False, False),
        (20.1, False, True),
        (16.1, True, True),
        (16.0, True, False),
        (100.0, True, True),
        (None, True, False),
    ],
)
def test_pressure_lets_go_only_when_it_fell_well_below(
    memory: float | None, before: bool, holds: bool
) -> None:
    over, nothing = frozenset({"memory"}), frozenset[str]()
    figures = CALM | {"memory": memory}
    found = pressed(figures, Thresholds(memory=20), over if before else nothing)
    assert found == (over if holds else nothing)


def test_a_threshold_of_100_is_never_exceeded() -> None:
    assert pressed({"cpu": 100.0}, Thresholds(cpu=100), frozenset()) == frozenset()
    assert pressed({"cpu": 100.0}, Thresholds(cpu=99), frozenset()) == {"cpu"}
