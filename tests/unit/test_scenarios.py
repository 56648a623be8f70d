"""Scenarios: all are valid jobs, and give way to what contradicts them."""

from __future__ import annotations

from typing import Any

import pytest

from ffmpeg_jobs.model import Parameters
from ffmpeg_jobs.scenarios import SCENARIOS, with_defaults
from ffmpeg_jobs.schema import parse_job


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_is_a_valid_job(name: str) -> None:
    job = parse_job({"scenario": name, "input": "/srv/in.mp4"})
    given = {**SCENARIOS[name].parameters}
    assert {field: getattr(job.parameters, field) for field in given} == given
    limits = {**SCENARIOS[name].resource_limits}
    assert {field: getattr(job.resource_limits, field) for field in limits} == limits


def parameters(scenario: str, **own: Any) -> Parameters:
    return parse_job({"scenario": scenario, "input": "/a", "parameters": own}).parameters


def test_own_fields_come_first() -> None:
    asked = parameters("1080p-h264", preset="fast", crf=18)
    assert (asked.preset, asked.crf, asked.height) == ("fast", 18, 1080)


def test_another_encoder_has_other_presets() -> None:
    asked = parameters("1080p-h264", encoder="h264_nvenc")
    assert (asked.preset, asked.tune, asked.crf) == (None, None, None)
    assert asked.width == 1920


def test_a_bitrate_stands_in_for_the_quality_and_the_other_way_round() -> None:
    assert parameters("1080p-h264", bitrate="4M").crf is None
    assert parameters("live-1080p", crf=20).bitrate is None


@pytest.mark.parametrize("encoder", ["copy", "none"])
def test_copied_streams_are_not_scaled(encoder: str) -> None:
    asked = parameters("1080p-h264", encoder=encoder)
    assert (asked.width, asked.height, asked.crf, asked.preset) == (None, None, None, None)


@pytest.mark.parametrize("encoder", ["copy", "none"])
def test_copied_sound_has_no_bitrate(encoder: str) -> None:
    assert parameters("1080p-h264", audio_encoder=encoder).audio_bitrate is None


def test_one_side_alone_keeps_the_shape_of_the_source() -> None:
    assert parameters("1080p-h264", width=1280).height is None
    assert parameters("1080p-h264", height=720).width is None
    asked = parameters("1080p-h264", width=640, height=480)
    assert (asked.width, asked.height) == (640, 480)


def test_limits_are_laid_over_one_by_one() -> None:
    job = with_defaults({"scenario": "preview", "resource_limits": {"max_memory_mb": 1024}})
    assert job["resource_limits"] == {
        "max_cpu_percent": 100,
        "max_memory_mb": 1024,
        "timeout_sec": 300,
    }


def test_what_was_submitted_is_not_changed() -> None:
    submitted = {"scenario": "preview", "parameters": {"crf": 20}}
    with_defaults(submitted)
    assert submitted == {"scenario": "preview", "parameters": {"crf": 20}}


def test_without_a_scenario_nothing_is_added() -> None:
    assert with_defaults({"input": "/a"}) == {"input": "/a"}
