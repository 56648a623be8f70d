"""A cgroup's files, as the kernel (6.1) writes them, to an attempt's usage."""

from __future__ import annotations

from pathlib import Path

from ffmpeg_jobs.model import Usage
from ffmpeg_worker.usage import memory_events, read_usage, usage_from_counters

COUNTERS = {
    "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n"
    "nr_periods 40\nnr_throttled 12\nthrottled_usec 750000\nnr_bursts 0\nburst_usec 0\n",
    "memory.peak": "104857600\n",
    "memory.events": "low 0\nhigh 0\nmax 31\noom 2\noom_kill 1\noom_group_kill 0\n",
    "io.stat": "8:0 rbytes=4096 wbytes=1000 rios=1 wios=1 dbytes=0 dios=0\n"
    "254:0 rbytes=100 wbytes=24 rios=1 wios=1 dbytes=0 dios=0\n253:1 \n",
}
USED = Usage(2.5, 2.0, 0.5, 0.75, 104857600, 4196, 1024, 5.0)


def test_all_counters() -> None:
    assert usage_from_counters(COUNTERS, 5.0) == USED


def test_a_living_cgroup(tmp_path: Path) -> None:
    for name, text in COUNTERS.items():
        (tmp_path / name).write_text(text)
    found = read_usage(tmp_path)
    assert found.cpu_seconds == 2.5
    assert found.memory_peak_bytes == 104857600
    assert found.wall_seconds is None


def test_what_is_not_counted_is_none(tmp_path: Path) -> None:
    assert read_usage(tmp_path / "gone") == Usage()
    assert usage_from_counters({"cpu.stat": "usage_usec 1\n"}, None) == Usage(cpu_seconds=1e-06)


def test_no_traffic_is_zero_where_it_is_counted() -> None:
    found = usage_from_counters({"io.stat": "254:0 rbytes=7 wbytes=0 rios=1 wios=0\n"}, None)
    assert (found.read_bytes, found.written_bytes) == (7, 0)


def test_memory_events() -> None:
    assert memory_events(COUNTERS["memory.events"])["oom_kill"] == 1
    assert memory_events("") == {}
