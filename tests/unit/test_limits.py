"""The table of limits: properties for systemd, and what the kernel must answer."""

from __future__ import annotations

import pytest

from ffmpeg_worker.limits import (
    HeldLimits,
    expected_files,
    job_id_of,
    properties_of,
    unenforced,
    unit_name,
)

HELD = HeldLimits(cpu_percent=50, memory_mb=256, timeout_seconds=60, tasks=100)


def test_half_a_core_and_256_mib_in_systemd_s_units() -> None:
    properties = properties_of({"cpu_percent": 50, "memory_mb": 256}, live=False)
    assert properties == [
        ("CPUQuotaPerSecUSec", "t", 500_000),
        ("MemoryMax", "t", 268_435_456),
        ("MemorySwapMax", "t", 0),
    ]


def test_what_the_kernel_must_say() -> None:
    assert expected_files(HELD) == {
        "cpu.max": "50000 100000",
        "memory.max": "268435456",
        "pids.max": "100",
    }


def test_a_missing_controller_is_noticed() -> None:
    found = dict(expected_files(HELD)) | {"cpu.max": None}
    assert unenforced(HELD, found) == ["cpu.max"]


def test_another_value_is_noticed() -> None:
    found = dict(expected_files(HELD)) | {"memory.max": "max"}
    assert unenforced(HELD, found) == ["memory.max"]


@pytest.mark.parametrize(
    ("values", "live", "words"),
    [
        ({"Slice": 1}, False, "Slice: unknown limit"),
        ({"memory_mb": 0}, False, "memory_mb: 0 is not a positive number"),
        ({"timeout_seconds": 5}, True, "timeout_seconds: cannot change"),
    ],
)
def test_refusals_name_the_limit(values: dict[str, int], live: bool, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        properties_of(values, live=live)


@pytest.mark.parametrize(
    "name",
    ["", "abc", "abcdefghijk/", "ABCDEFGHIJKL", "abcdefghijklm", "abcdefghijk\n", "../../../../x"],
)
def test_only_a_job_id_makes_a_unit_s_name(name: str) -> None:
    with pytest.raises(ValueError, match="is not a job id"):
        unit_name(name)


def test_names_round_trip() -> None:
    assert unit_name("abcdefghijkl") == "ffmpeg-job-abcdefghijkl.scope"
    assert job_id_of("ffmpeg-job-abcdefghijkl.scope") == "abcdefghijkl"
    assert job_id_of("ffmpeg-job-abcdefghijkl.service") is None
    assert job_id_of("ssh.service") is None
