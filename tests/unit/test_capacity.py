"""How many jobs a machine takes: the operations guide's rules and machines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ffmpeg_worker.capacity import Capacity, Caps, Resources, Rules, capacity, share

GB = 1024


def of(cpus: int, memory_mb: int = 1 << 20, disk_mb: int = 1 << 20, **rules: object) -> Capacity:
    return capacity(Resources(cpus, memory_mb, disk_mb), Rules(**rules))  # type: ignore[arg-type]  # rows of a table


@pytest.mark.parametrize(
    ("cpus", "memory_gb", "disk_gb", "low", "high"),
    [(4, 8, 50, 2, 3), (8, 16, 100, 4, 6), (16, 32, 200, 8, 12)],
)
def test_the_guides_machines(cpus: int, memory_gb: int, disk_gb: int, low: int, high: int) -> None:
    found = of(cpus, memory_gb * GB, disk_gb * GB)
    assert low <= found.max_concurrent_jobs <= high
    two_cores_each = of(cpus, memory_gb * GB, disk_gb * GB, cpu_percent_per_job=200, workload="io")
    assert two_cores_each.max_concurrent_jobs == low


@pytest.mark.parametrize(("workload", "jobs"), [("cpu", 12), ("mixed", 13), ("io", 16)])
def test_what_jobs_wait_for_decides_how_many_cores_they_get(workload: str, jobs: int) -> None:
    assert of(16, workload=workload).max_concurrent_jobs == jobs


@pytest.mark.parametrize(
    ("has", "rules", "limited_by", "jobs"),
    [
        (Resources(64, 8 * GB, 1 << 20), Rules(), "memory", 3),
        (Resources(64, 8 * GB, 1 << 20), Rules(memory_mb_per_job=512), "memory", 13),
        (Resources(64, 8 * GB, 1 << 20), Rules(jobs_memory_mb=4096), "memory", 2),
        (Resources(64, 1 << 20, 9000), Rules(), "disk", 2),
        (Resources(64, 1 << 20, 9000), Rules(bitrate_mbps=2, duration_sec=60), "disk", 25),
        (Resources(64, 1 << 20, 9000), Rules(disk_mb_per_job=1000), "disk", 9),
        (Resources(64, 1 << 20, 9000), Rules(jobs_disk_mb=72000), "disk", 2),
        (Resources(64, 1 << 20, 9000), Rules(jobs_disk_mb=3700), "disk", 1),
        (Resources(64, 8 * GB, 1 << 20), Rules(jobs_memory_mb=64 * GB), "memory", 4),
        (Resources(64, 8 * GB, 1 << 20, Caps("s", None, 5 * GB)), Rules(), "memory", 2),
        (Resources(64, 1 << 20, 1 << 20, Caps("s", 150, None)), Rules(), "cpu", 1),
        (Resources(64, 1 << 20, 1 << 20), Rules(cpu_percent_per_job=800), "cpu", 6),
        (Resources(64, 1 << 20, 1 << 20), Rules(jobs_cpu_percent=400), "cpu", 3),
    ],
)
def test_the_smallest_counts(has: Resources, rules: Rules, limited_by: str, jobs: int) -> None:
    found = capacity(has, rules)
    assert (found.limited_by, found.max_concurrent_jobs) == (limited_by, jobs)


def test_a_small_machine_takes_one() -> None:
    found = of(1, 900, 100)
    assert [line.jobs for line in found.lines] == [0, 0, 0]
    assert found.max_concurrent_jobs == 1


def test_the_calculation_can_be_followed() -> None:
    assert [line.calculation for line in of(16, 32 * GB, 80000).lines] == [
        "16 cores = 1600 %, x 75 % (workload cpu) = 1200 %, at 100 % per job: 12",
        "32768 MB x 85 % (the rest is the system's) = 27852 MB, at 2048 MB per job: 13",
        "free for jobs = 80000 MB, at 3600 MB per job: 22 (4 Mbit/s x 300 s x 2 x 1.5)",
    ]


def test_the_calculation_names_the_figure_that_limits() -> None:
    has = Resources(16, 32 * GB, 80000, Caps("ffmpeg.slice", 600, 20 * GB))
    high = replace(has, caps=replace(has.caps, memory_by="MemoryHigh"))
    assert capacity(high, Rules()).lines[1].calculation.startswith("MemoryHigh of ffmpeg.slice")
    asked = Rules(jobs_cpu_percent=1600, jobs_memory_mb=30 * GB, jobs_disk_mb=1 << 20)
    assert [line.calculation.partition(",")[0] for line in capacity(has, asked).lines] == [
        "CPUQuota of ffmpeg.slice = 600 %",
        "MemoryMax of ffmpeg.slice = 20480 MB",
        "free for jobs",
    ]
    disk = capacity(has, asked).lines[2].calculation
    assert disk.startswith("free for jobs, less than jobs_disk_mb = 80000 MB, at ")
    assert (
        of(16, 32 * GB, jobs_memory_mb=1 << 20)
        .lines[1]
        .calculation.startswith("all there is, less than jobs_memory_mb = 32768 MB, at ")
    )
    assert share(has, Rules()).__dict__ == {
        "cpu_percent": 600,
        "memory_mb": 20 * GB,
        "disk_mb": 80000,
    }


def test_where_nobody_keeps_jobs_from_each_other_it_is_one() -> None:
    found = capacity(Resources(64, 1 << 20, 1 << 20), Rules(), alone=True)
    assert (found.limited_by, found.max_concurrent_jobs) == ("manager", 1)
    assert found.lines[-1].calculation == "nobody keeps jobs from each other: 1"


def test_what_jobs_may_have_together() -> None:
    has = Resources(4, 10000, 5000)
    assert share(has, Rules()).__dict__ == {"cpu_percent": 400, "memory_mb": 8500, "disk_mb": 5000}
    rules = Rules(jobs_cpu_percent=300, jobs_memory_mb=8000, jobs_disk_mb=1000)
    assert share(has, rules).__dict__ == {
        "cpu_percent": 300,
        "memory_mb": 8000,
        "disk_mb": 1000,
    }
