"""What keeps the machine well: [capacity], [pressure] and [network] of worker.toml. Pure."""

from __future__ import annotations

from typing import Final

from ffmpeg_jobs import destination
from ffmpeg_jobs.settings import Setting, choice, whole
from ffmpeg_worker.admission import Thresholds
from ffmpeg_worker.capacity import PERCENT_OF_CORES, Rules

CAPACITY_SETTINGS: Final = (
    Setting(
        "capacity",
        "workload",
        choice(*PERCENT_OF_CORES),
        "cpu",
        "what jobs mostly wait for: 75 % of the cores are given to jobs that compute (cpu), 85 % "
        "to mixed ones, 100 % to those that stream (io)",
    ),
    Setting(
        "capacity",
        "cpu_percent_per_job",
        whole(1, 102400, "percent"),
        Rules.cpu_percent_per_job,
        "CPU that a typical job keeps busy (100 is one core)",
    ),
    Setting(
        "capacity",
        "memory_mb_per_job",
        whole(16, 4194304, "MiB"),
        Rules.memory_mb_per_job,
        "memory of a typical job",
    ),
    Setting(
        "capacity",
        "bitrate_mbps",
        whole(1, 100000, "Mbit/s"),
        Rules.bitrate_mbps,
        "bitrate of a typical job; its disk is bitrate x duration x 2 x 1.5",
    ),
    Setting(
        "capacity",
        "duration_sec",
        whole(1, 604800, "seconds"),
        Rules.duration_sec,
        "length of a typical job's media",
    ),
    Setting(
        "capacity",
        "disk_mb_per_job",
        whole(1, 1 << 40, "MiB"),
        None,
        "disk of a typical job, instead of bitrate and duration",
    ),
    Setting(
        "capacity",
        "jobs_cpu_percent",
        whole(1, 6553600, "percent"),
        None,
        "CPU that all jobs together may have; all cores when it is not set",
    ),
    Setting(
        "capacity",
        "jobs_memory_mb",
        whole(16, 1 << 31, "MiB"),
        None,
        "memory that all jobs together may have; 85 % of the machine's when it is not set, as "
        "MemoryHigh of ffmpeg.slice has it",
    ),
    Setting(
        "capacity",
        "jobs_disk_mb",
        whole(1, 1 << 40, "MiB"),
        None,
        "disk that all jobs together may have; what is free, without the least that always stays "
        "free, when it is not set",
    ),
)

_PERCENT: Final = whole(1, 100, "percent")

PRESSURE_SETTINGS: Final = (
    Setting(
        "pressure",
        "cpu",
        _PERCENT,
        Thresholds.cpu,
        "no new job is taken while jobs waited for a core for more than this part of the last 10 "
        "seconds; 100 is never exceeded, and the default, because a job that is held to its CPU "
        "limit waits too",
    ),
    Setting(
        "pressure",
        "memory",
        _PERCENT,
        Thresholds.memory,
        "the same for memory: jobs waited because pages had to be found or read again",
    ),
    Setting("pressure", "io", _PERCENT, Thresholds.io, "the same for disks"),
)

NETWORK_SETTINGS: Final = destination.settings(
    "network", "jobs", "; streams (RTMP) need it in launcher.toml, too"
)

MACHINE_SETTINGS: Final = (*CAPACITY_SETTINGS, *PRESSURE_SETTINGS, *NETWORK_SETTINGS)
