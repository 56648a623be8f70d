"""What a job asked counts, within this machine's caps; what it did not ask fits them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.model import Claim, Job, Limits, Parameters
from ffmpeg_worker.config import Config
from ffmpeg_worker.limits import HeldLimits
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import Plan, make_plan

CONFIG = Config(
    master="http://127.0.0.1:1",
    api_key="",
    ca=None,
    client_cert=None,
    client_key=None,
    insecure_skip_verify=False,
    name="ada",
    cpus=4,
    max_concurrent_jobs=1,
    state_directory=Path("/var/lib/ffmpeg-worker"),
    input_roots=(),
    output_roots=(),
    require_enforcement=True,
    log_level="info",
    max_cpu_percent=300,
    max_memory_mb=1024,
    max_timeout_seconds=600,
    metrics_address="127.0.0.1:0",
)


def planned(config: Config = CONFIG, encoder: str = "libx264", **asked: Any) -> Plan:
    job = Job(parameters=Parameters(duration=5, encoder=encoder), resource_limits=Limits(**asked))
    return make_plan(Claim("a" * 12, 1, "t" * 32, 60.0, job), config)


def test_the_defaults_of_the_guide() -> None:
    roomy = replace(CONFIG, max_cpu_percent=102400, max_memory_mb=8192, max_timeout_seconds=604800)
    plan = planned(roomy)
    assert (plan.held, plan.max_disk_mb) == (HeldLimits(400, 2048, 3600), 5000)


def test_what_was_not_asked_fits_a_small_machine() -> None:
    assert planned().held == HeldLimits(300, 1024, 600)


@pytest.mark.parametrize(("asked", "counts"), [({}, 3000), ({"max_disk_mb": 4000}, 4000)])
def test_who_asks_for_no_disk_gets_a_place_s_part(asked: dict[str, int], counts: int) -> None:
    job = Job(parameters=Parameters(duration=5), resource_limits=Limits(**asked))
    plan = make_plan(Claim("a" * 12, 1, "t" * 32, 60.0, job), CONFIG, disk_part_mb=3000)
    assert plan.max_disk_mb == counts


def test_what_was_asked_counts() -> None:
    held = planned(max_cpu_percent=50, max_memory_mb=64, timeout_sec=30).held
    assert held == HeldLimits(50, 64, 30)


@pytest.mark.parametrize(
    ("asked", "value"), [("max_cpu_percent", 301), ("max_memory_mb", 1025), ("timeout_sec", 601)]
)
def test_what_was_asked_over_a_cap_is_refused(asked: str, value: int) -> None:
    with pytest.raises(AttemptError, match=rf"{asked}: {value} is over the cap of {value - 1}"):
        planned(CONFIG, "libx264", **{asked: value})


def test_devices_enter_only_where_they_are_used() -> None:
    assert not any("/dev/dri" in word or "/dev/nvidia" in word for word in planned().run)
    assert "/dev/dri/renderD128" in planned(encoder="h264_vaapi").run
    assert "/dev/nvidia0" in planned(encoder="h264_nvenc").run
    assert not any("/dev/dri" in word for word in planned(encoder="h264_nvenc").run)
