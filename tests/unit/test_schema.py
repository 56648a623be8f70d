"""A job as submitted: what is let in, and how a refusal reads."""

from __future__ import annotations

from typing import Any

import pytest

from ffmpeg_jobs import contract
from ffmpeg_jobs.model import (
    DEFAULT_DISK_MB,
    DEFAULT_MEMORY_MB,
    DEFAULT_TIMEOUT_SECONDS,
    Heartbeat,
    Job,
    JobStatus,
    Limits,
    Outcome,
    Parameters,
    Queue,
    State,
)
from ffmpeg_jobs.problems import InvalidField, InvalidJson
from ffmpeg_jobs.schema import check, from_json, parse, parse_job, to_json

LENGTH = {"duration": 5}


def refusal(job: Any) -> dict[str, str]:
    with pytest.raises(InvalidField) as caught:
        parse_job(job)
    error = caught.value.members["errors"][0]
    assert error["field"] in caught.value.detail
    assert error["allowed"] in caught.value.detail
    result: dict[str, str] = error | {"detail": caught.value.detail}
    return result


def with_parameters(**more: Any) -> dict[str, Any]:
    return {"parameters": {**LENGTH, **more}}


WRONG: dict[str, list[Any]] = {
    "duration": [0, 86401, "5", True, float("nan"), float("inf")],
    "bitrate": ["0", "4m", "4M\n", "-1", 4000, "1234567890"],
    "encoder": ["h265", "LIBX264", "", 1],
    "preset": ["very fast", "p4\n", "-x", ""],
    "tune": ["fast", "film\n"],
    "crf": [-1, 64, 23.5, "23", True],
    "width": [15, 17, 8194, "1280"],
    "height": [14, 1081, 9000],
    "framerate": [0, 241, 29.97],
    "audio_encoder": ["mp3", "AAC"],
    "audio_bitrate": ["0k", "128 k", "128K"],
    "format": ["avi", ".mp4", "mp4\n"],
}


def test_each_parameter_has_wrong_values_here() -> None:
    assert WRONG.keys() == contract.PARAMETERS["properties"].keys()


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in WRONG.items() for v in vs])
def test_a_wrong_parameter_is_named_with_value_and_allowed(name: str, value: Any) -> None:
    error = refusal(with_parameters(**{name: value}))
    assert error["field"] == f"parameters.{name}"
    assert error["value"] in error["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scenario", "4k"),
        ("input", "clip.mp4"),
        ("input", "file:///etc/passwd"),
        ("input", "http://a b"),
        ("input", "/srv/in.mp4\n"),
        ("input", "/srv/\ud800.mp4"),
        ("output", "ftp://host/out.mp4"),
        ("output", "/" + "x" * 4096),
        ("queue", "fast"),
        ("priority", 1),
        ("labels", {"a b": "1"}),
        ("labels", {"a\n": "1"}),
        ("labels", {str(n): "" for n in range(33)}),
        ("max_attempts", 0),
        ("max_attempts", 21),
        ("require_enforcement", "yes"),
        ("parameters", []),
        ("resource_limits", None),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    assert refusal({"parameters": LENGTH, field: value})["field"] == field


@pytest.mark.parametrize("name", contract.LIMITS["properties"])
@pytest.mark.parametrize("past", ["minimum", "maximum"])
def test_a_limit_has_a_range(name: str, past: str) -> None:
    edge = contract.LIMITS["properties"][name][past]
    inside = parse_job({"parameters": LENGTH, "resource_limits": {name: edge}})
    assert getattr(inside.resource_limits, name) == edge
    outside = edge + (1 if past == "maximum" else -1)
    error = refusal({"parameters": LENGTH, "resource_limits": {name: outside}})
    assert (error["field"], error["value"]) == (f"resource_limits.{name}", str(outside))


def test_a_label_is_named_by_its_own_name() -> None:
    assert refusal({"parameters": LENGTH, "labels": {"title": 42}})["field"] == "labels.title"


@pytest.mark.parametrize("where", ["", "parameters", "resource_limits"])
def test_an_unknown_field_is_refused_by_name(where: str) -> None:
    job: dict[str, Any] = {"parameters": dict(LENGTH), "resource_limits": {}}
    (job[where] if where else job)["cpus"] = 2
    error = refusal(job)
    assert error["field"] == (f"{where}.cpus" if where else "cpus")
    assert "unknown field; allowed are" in error["detail"]


@pytest.mark.parametrize("body", [None, [], "job", 1])
def test_a_job_is_an_object(body: Any) -> None:
    with pytest.raises(InvalidJson, match="an object is needed"):
        parse_job(body)


@pytest.mark.parametrize(
    ("job", "field"),
    [
        ({}, "parameters.duration"),
        ({"scenario": "remux", "parameters": LENGTH}, "parameters.encoder"),
        (with_parameters(encoder="libx264", audio_encoder="copy"), "parameters.audio_encoder"),
        (with_parameters(encoder="none", audio_encoder="none"), "parameters.audio_encoder"),
        ({"input": "/a", "parameters": {"encoder": "copy", "crf": 3}}, "parameters.crf"),
        ({"input": "/a", "parameters": {"encoder": "none", "width": 64}}, "parameters.width"),
        (
            {"input": "/a", "parameters": {"audio_encoder": "copy", "audio_bitrate": "1k"}},
            "parameters.audio_bitrate",
        ),
        (
            {"input": "/a", "scenario": "remux", "parameters": {"bitrate": "4M"}},
            "parameters.bitrate",
        ),
    ],
)
def test_fields_are_held_against_each_other(job: Any, field: str) -> None:
    assert refusal(job)["field"] == field


def test_an_example_of_the_contract_is_taken() -> None:
    job = parse_job(
        {
            "scenario": "1080p-h264",
            "input": "https://media.example/in.mp4",
            "output": "https://bucket.example/out.mp4?signature",
            "parameters": {"duration": 300, "bitrate": "4M", "encoder": "h264_nvenc", "crf": 23.0},
            "resource_limits": {"max_cpu_percent": 200, "timeout_sec": 600},
            "queue": "batch",
            "labels": {"title": "42"},
        }
    )
    assert job.queue is Queue.BATCH
    assert job.resource_limits == Limits(200, timeout_sec=600)
    assert (job.parameters.duration, job.parameters.crf) == (300.0, 23)
    assert type(job.parameters.crf) is int  # 23.0 would not be an argument for ffmpeg
    assert type(job.parameters.duration) is float


def test_defaults_are_those_of_the_guide() -> None:
    assert parse_job({"parameters": LENGTH}) == Job(parameters=Parameters(duration=5.0))
    assert (DEFAULT_MEMORY_MB, DEFAULT_DISK_MB, DEFAULT_TIMEOUT_SECONDS) == (2048, 5000, 3600)


def test_what_is_stored_reads_back_as_the_same_job() -> None:
    job = parse_job({"scenario": "preview", "input": "/a", "parameters": {"width": 320}})
    assert parse_job(to_json(job)) == job


def test_nouns_survive_the_wire() -> None:
    status = JobStatus(
        "a" * 12, State.RUNNING, parse_job({"parameters": LENGTH}), "t", "t", log_tail=("a", "b")
    )
    data = to_json(status)
    assert "reason" not in data  # what is not known is left out
    assert from_json(JobStatus, data) == status


def test_a_newer_master_may_say_more() -> None:
    assert from_json(Outcome, {"state": "failed", "colour": "red"}) == Outcome(State.FAILED)


@pytest.mark.parametrize("percent", [float("nan"), 101, -1])
def test_a_report_is_checked_deep_inside(percent: float) -> None:
    report = {"job_id": "a" * 12, "attempt": 1, "token": "t" * 16, "progress": {"percent": percent}}
    with pytest.raises(InvalidField, match=r"running\[0\]\.progress\.percent"):
        parse(Heartbeat, contract.HEARTBEAT, {"running": [report]})


def test_a_missing_field_is_named_with_what_it_needs() -> None:
    with pytest.raises(InvalidField, match=r"body\.token: missing; needed is the token"):
        check(contract.RESULT, {"outcome": {"state": "failed"}}, "body")
