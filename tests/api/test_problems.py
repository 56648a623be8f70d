"""Every refusal is problem+json that says what, where and what else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ffmpeg_jobs import problems
from ffmpeg_jobs.contract import BODY_MAX_BYTES, LOG_MAX_BYTES
from ffmpeg_jobs.model import Role
from ffmpeg_master.store import jobs
from tests.api.conftest import INSIDE, JOB, Inside

ID = "abcdefghijkl"
#: In UTC, it would be in the year 10000.
LATEST = "9999-12-31T23:59:59-01:00"
NESTED = "[" * 100_000

#: A whole number that no float can be.
LONG = {"parameters": {"duration": 10**400}}
MANY_LABELS = {"labels": {f"name{index}": "value" for index in range(33)}}


def nested(levels: int) -> dict[str, Any]:
    """A job of that many levels."""
    inside: list[Any] = []
    for _ in range(levels - 2):
        inside = [inside]
    return JOB | {"depends_on": inside}


REFUSALS: list[tuple[str, str, dict[str, Any], int, str, str]] = [
    ("GET", "/nothing", {}, 404, "not-found", "/nothing"),
    ("GET", f"/jobs/{ID}", {}, 404, "not-found", f"there is no job {ID}"),
    ("GET", "/jobs/NOPE", {}, 422, "invalid-field", 'job_id: "NOPE" is not allowed'),
    ("DELETE", "/jobs", {}, 405, "method-not-allowed", "DELETE is not allowed for /jobs"),
    ("GET", "/jobs?limit=0", {}, 422, "invalid-field", "limit: 0 is not allowed; allowed is"),
    ("GET", "/jobs?limit=x", {}, 422, "invalid-field", 'limit: "x" is not allowed'),
    ("GET", "/jobs?cursor=99999999999999999999", {}, 422, "invalid-field", "cursor: "),
    ("GET", "/jobs?state=bananas", {}, 422, "invalid-field", "one of queued, running"),
    ("GET", "/jobs?state=queued&state=failed", {}, 422, "invalid-field", "state: "),
    ("GET", "/jobs?label=red", {}, 422, "invalid-field", "NAME=VALUE"),
    ("GET", "/jobs?color=red", {}, 422, "invalid-field", "color: unknown field"),
    ("GET", "/health?x=1", {}, 422, "invalid-field", "x: unknown field"),
    ("POST", "/jobs", {"json": JOB | {"x": 1}}, 422, "invalid-field", "x: unknown field; allowed"),
    ("POST", "/jobs", {"json": {}}, 422, "invalid-field", "parameters.duration: missing"),
    ("POST", "/jobs", {"json": []}, 400, "invalid-json", "the body is list, an object is needed"),
    ("POST", "/jobs", {"json": JOB, "headers": {"Idempotency-Key": "ü"}}, 422, "invalid-field", ""),
    ("POST", "/jobs", {"data": b"{"}, 400, "invalid-json", "not valid JSON"),
    ("POST", "/jobs", {"data": b"\xff"}, 400, "invalid-json", "not valid JSON"),
    ("POST", "/jobs", {"data": b'{"a": NaN}'}, 400, "invalid-json", "NaN is not a number"),
    ("POST", "/jobs", {"data": b'{"a": 1e999}'}, 400, "invalid-json", "1e999 is not a number"),
    ("POST", "/jobs", {"data": b'{"a": "\\ud800"}'}, 400, "invalid-json", "not valid JSON"),
    ("POST", "/jobs", {"data": NESTED.encode()}, 400, "invalid-json", "nested deeper than 32"),
    (
        "POST",
        "/jobs",
        {"data": b'{"a": 1, "b": 2, "a": 3}'},
        400,
        "invalid-json",
        "'a' stands twice",
    ),
    (
        "POST",
        "/jobs",
        {"data": b'{"a": ' + b"[]," * 66_000},
        400,
        "invalid-json",
        "more than 65536",
    ),
    ("POST", "/jobs", {"data": b'{"a": "' + b'\\"' * 100_000}, 400, "invalid-json", "Unterminated"),
    ("POST", "/jobs", {"json": nested(32)}, 422, "invalid-field", "depends_on[0]: [[["),
    ("POST", "/jobs", {"json": nested(33)}, 400, "invalid-json", "nested deeper than 32"),
    ("POST", "/jobs", {"json": nested(400)}, 400, "invalid-json", "nested deeper than 32"),
    ("POST", "/jobs", {"json": MANY_LABELS}, 422, "invalid-field", "labels: "),
    ("POST", "/jobs", {"json": {"labels": {"a": "x" * 256}}}, 422, "invalid-field", "at most 255"),
    ("POST", "/jobs", {"json": LONG}, 422, "invalid-field", "parameters.duration: 1000"),
    ("POST", "/jobs", {"data": b"1" * 5000}, 400, "invalid-json", "not valid JSON"),
    ("POST", "/jobs", {"json": JOB | {"input": "rtmp://a]"}}, 422, "invalid-field", "input: "),
    ("POST", "/jobs", {"json": JOB | {"output": "http://a:b"}}, 422, "invalid-field", "output: "),
    ("POST", "/jobs", {"data": b""}, 400, "invalid-json", "not valid JSON"),
    ("POST", "/jobs", {"data": b" " * (BODY_MAX_BYTES + 1)}, 413, "too-large", "over 1048576"),
    (
        "POST",
        "/jobs",
        {"data": b"{}", "headers": {"Content-Type": "text/html"}},
        415,
        "unsupported-media-type",
        'Content-Type: "text/html" is not allowed here; allowed is application/json',
    ),
    ("POST", "/claims", {"json": {"worker": "eve"}}, 404, "not-found", "PUT /workers/eve"),
    ("POST", "/claims", {"json": {"worker": "e", "wait_seconds": 51}}, 422, "invalid-field", "50"),
    ("PATCH", "/jobs", {}, 405, "method-not-allowed", "allowed are GET, HEAD, OPTIONS, POST"),
    ("QUERY", "/jobs", {}, 405, "method-not-allowed", "allowed are GET, HEAD, OPTIONS, POST"),
    ("QUERY", "/nothing", {}, 404, "not-found", "/nothing"),
    ("GET", "/jobs", {"headers": {"Accept": "text/html"}}, 406, "not-acceptable", "text/html"),
    (
        "GET",
        "/jobs",
        {"headers": {"Accept": "*/*, application/json;q=0"}},
        406,
        "not-acceptable",
        "",
    ),
    ("GET", "/events", {"headers": {"Last-Event-ID": "nan"}}, 422, "invalid-field", "Last-Event"),
    ("POST", "/jobs", {"json": JOB | {"deadline": LATEST}}, 422, "invalid-field", "RFC 3339"),
    ("PUT", "/workers/-", {"json": {}}, 422, "invalid-field", "name: "),
    (
        "PUT",
        f"/jobs/{ID}/attempts/1/log",
        {"data": b"", "headers": {"Content-Type": "text/plain"}},
        422,
        "invalid-field",
        "Attempt-Token",
    ),
    (
        "PUT",
        f"/jobs/{ID}/attempts/1/log",
        {
            "data": b"x" * (LOG_MAX_BYTES + 1),
            "headers": {"Content-Type": "text/plain", "Attempt-Token": "t" * 32},
        },
        413,
        "too-large",
        "over 5242880 bytes",
    ),
    (
        "POST",
        f"/jobs/{ID}/attempts/1/result",
        {"json": {"token": "t" * 32, "outcome": {"state": "completed"}}},
        409,
        "stale-attempt",
        "not yours, or no longer current",
    ),
]


@pytest.mark.parametrize(("method", "path", "more", "status", "kind", "words"), REFUSALS)
def test_refusals(  # noqa: PLR0917 - a row of the table above
    inside: Inside, method: str, path: str, more: dict[str, Any], status: int, kind: str, words: str
) -> None:
    headers = {"Content-Type": "application/json"} if "data" in more else {}
    headers |= more.get("headers", {})
    more = more | {"headers": headers}
    answer = inside.call(method, path, Role.ADMIN, **more)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == problems.MEDIA_TYPE
    body = answer.json()
    assert body["type"] == problems.TYPE_PREFIX + kind
    assert body["status"] == status
    assert words in body["detail"]


def test_a_wrong_method_says_which_are_right(inside: Inside) -> None:
    assert inside.call("DELETE", "/jobs").headers["Allow"] == "GET, HEAD, OPTIONS, POST"


def test_a_refused_field_is_named_for_programs_too(inside: Inside) -> None:
    body = inside.call("POST", "/jobs", json={"parameters": {"duration": 5, "crf": 64}}).json()
    (error,) = body["errors"]
    assert error["field"] == "parameters.crf"
    assert error["value"] == "64"
    assert "0 to 63" in error["allowed"]


def test_a_fault_of_our_own_tells_nothing_of_itself(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise RuntimeError("the database's password is hunter2")

    monkeypatch.setattr(jobs, "show", fault)
    answer = inside.call("GET", f"/jobs/{ID}")
    assert answer.status_code == 500
    assert answer.json()["type"] == problems.TYPE_PREFIX + "internal"
    assert "hunter2" not in answer.text
    assert [type(entry["exc_info"]) for entry in inside.log] == [RuntimeError]


def test_a_broken_database_is_503(inside: Inside) -> None:
    with inside.master.store.write() as connection:
        connection.exec_driver_sql("DROP TABLE labels")
        connection.exec_driver_sql("DROP TABLE tallies")
        connection.exec_driver_sql("DROP TABLE jobs")
        connection.exec_driver_sql("DROP TABLE workers")
    answer = inside.call("GET", f"/jobs/{ID}")
    assert answer.status_code == 503
    assert answer.json()["type"] == problems.TYPE_PREFIX + "unavailable"
    health = inside.call("GET", "/health", role=None)
    assert health.status_code == 503
    assert health.json()["database"] == "broken"


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic YTpi", "bearer \xfc"],
)
def test_without_a_known_key_nothing_is_told(inside: Inside, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = inside.session().get(INSIDE + "/jobs", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["type"] == problems.TYPE_PREFIX + "unauthorized"


def test_the_wrong_role_is_told_which_is_needed(inside: Inside) -> None:
    answer = inside.call("POST", "/jobs", Role.READ, data=json.dumps(JOB))
    assert answer.status_code == 403
    assert "has the role read; this needs admin or submit" in answer.json()["detail"]


@pytest.mark.parametrize("kind", problems.BY_KIND)
def test_the_master_explains_each_type(inside: Inside, kind: str) -> None:
    text = inside.call("GET", f"/problems/{kind}", role=None).text
    problem = problems.BY_KIND[kind]
    for words in (problems.TYPE_PREFIX + kind, str(problem.status), problem.title, problem.remedy):
        assert words in text
