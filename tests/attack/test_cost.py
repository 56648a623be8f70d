"""No request costs much more than its length: counted in calls, the same on any machine.

The application is called in this process, where it can be counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ffmpeg_jobs.contract import BODY_MAX_BYTES
from ffmpeg_jobs.model import Job, Role
from ffmpeg_jobs.problems import InvalidField, InvalidJson
from ffmpeg_jobs.schema import check
from ffmpeg_master.api import views
from ffmpeg_master.api.call import JSON, Route
from ffmpeg_master.api.routes import ROUTES
from ffmpeg_master.app import _parse
from tests.api.conftest import MACHINE, Inside, inside
from tests.calls import calls

__all__ = ["inside"]

WITH_BODY = [route for route in ROUTES if route.takes == JSON and route.body is not None]
#: Calls for each KiB of a body, beyond those of any request: some 50 ns each, so that a MiB of
#: them takes less than 100 ms.
CALLS_PER_KIB = 1500
CALLS_OF_ANY = 6000


def judge(route: Route, content: bytes) -> None:
    """What is done with a body before anything of it is believed."""
    try:
        body = _parse(content)
        if isinstance(body, dict):
            check(route.body or {}, body)
    except (InvalidJson, InvalidField):
        pass


def fields(schema: Any) -> list[str]:
    """All names of fields that a schema has anywhere."""
    if not isinstance(schema, dict):
        return []
    own = schema.get("properties", {})
    return [*own, *(name for part in (*own.values(), schema.get("items")) for name in fields(part))]


SEEDS: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, 1.5, True, "", "a", "#0", "abcdefghijkl", "\ud83d", "\\", {}, [], "t" * 16]
)


def bodies(route: Route) -> st.SearchStrategy[Any]:
    """Bodies with the route's own fields, at any place, with what is none of theirs in them."""
    names = st.sampled_from([*fields(route.body), "x"])
    inner = st.recursive(
        SEEDS,
        lambda more: st.lists(more, max_size=4) | st.dictionaries(names, more, max_size=4),
        max_leaves=12,
    )
    return st.dictionaries(names, inner, min_size=1, max_size=4)


def grown(body: Any, times: int) -> Any:
    """The same body with each list of it repeated, each text, and each of its objects' names."""
    if isinstance(body, list):
        return [grown(one, 1) for one in body] * times
    if isinstance(body, str):
        return body * times
    if isinstance(body, dict):
        return {name: grown(one, times) for name, one in body.items()} | {
            f"{name}{n}": one for name, one in body.items() for n in range(times // 16)
        }
    return body


@pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: f"{route.method} {route.path}")
@given(data=st.data())
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_body_costs_more_than_its_length(route: Route, data: st.DataObject) -> None:
    body = data.draw(bodies(route))
    judge(route, json.dumps(body).encode())  # what is made once is made
    for times in (64, 512):
        content = json.dumps(grown(body, times)).encode()[:BODY_MAX_BYTES]
        spent = calls(partial(judge, route, content))
        assert spent <= CALLS_OF_ANY + CALLS_PER_KIB * len(content) / 1024


WORST: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "dependencies": ("/jobs", lambda n: json.dumps({"depends_on": [None, *range(n)]}).encode()),
    "results": (
        "/claims",
        lambda n: json.dumps({"worker": "ada", "results": [1] * n}).encode(),
    ),
    "objects": ("/jobs", lambda n: b'{"a": [' + b"{}," * 6 * n + b"{}]}"),
    "names": ("/jobs", lambda n: json.dumps({f"x{i}": 1 for i in range(n)}).encode()),
    "deep": ("/jobs", lambda n: b'{"a": [' + (b"[" * 28 + b"]" * 28 + b",") * (n // 28) + b"1]}"),
    "quotes": ("/jobs", lambda n: b'{"a": "' + b'\\\\"' * n),
    "labels": ("/jobs", lambda n: json.dumps({"labels": {f"x{i}": 1 for i in range(n)}}).encode()),
    "twice": ("/jobs", lambda n: b"{" + b'"a": 1,' * n + b'"a": 1}'),
    "reports": (
        "/workers/ada/heartbeat",
        lambda n: json.dumps({"running": [{"job_id": "a" * 12}] * n}).encode(),
    ),
}


@pytest.mark.parametrize("name", WORST)
def test_a_refusal_costs_twice_for_twice_the_body(inside: Inside, name: str) -> None:
    path, make = WORST[name]
    inside.call("PUT", "/workers/ada", json=MACHINE.__dict__)

    def ask(content: bytes) -> requests.Response:
        headers = {"Content-Type": JSON}
        return inside.call("POST", path, Role.ADMIN, data=content, headers=headers)

    short, long = make(5_000), make(10_000)
    assert ask(short).status_code in (400, 422)
    spent = calls(lambda: ask(short)), calls(lambda: ask(long))
    assert spent[1] <= 2.2 * spent[0]
    assert spent[1] <= CALLS_OF_ANY + CALLS_PER_KIB * len(long) / 1024


def test_secrets_are_hidden_in_one_pass_however_many_there_are() -> None:
    def job(values: int) -> Job:
        return Job(input="https://h/in?" + "&".join(f"{i:06d}" for i in range(values))[:4080])

    def looks(values: int) -> int:
        hide = views._hider(job(values))
        return calls(lambda: hide("a" * 1000))

    assert looks(10) <= looks(60) <= 200
    assert looks(580) <= 5
    shown = views.hide("cannot open https://h/in?000123&000456: 000579 no", job(580))
    assert shown == "cannot open https://h/in?…: … no"
