"""The description is of what is there, and its schemas are schemas."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from ffmpeg_master.api import openapi
from ffmpeg_master.api.routes import ROUTES
from tests.api.conftest import JOB, MACHINE, Inside


@pytest.fixture
def document(inside: Inside) -> dict[str, Any]:
    answer: dict[str, Any] = inside.call("GET", "/openapi.json", None).json()
    return answer


def test_every_route_is_described_and_nothing_else(document: dict[str, Any]) -> None:
    described = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    assert described == {(r.method, r.path.replace(":int", "")) for r in ROUTES}
    assert document["openapi"] == "3.1.0"


def test_it_is_made_once(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    first = inside.call("GET", "/openapi.json", None).content
    monkeypatch.setattr(openapi, "document", None)
    assert inside.call("GET", "/openapi.json", None).content == first


def test_names_of_operations_are_unique(document: dict[str, Any]) -> None:
    names = [op["operationId"] for item in document["paths"].values() for op in item.values()]
    assert len(set(names)) == len(ROUTES)


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    for reference in _references(document):
        node: Any = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
        jsonschema.Draft202012Validator.check_schema(node)


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(_references(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(_references(value) for value in node))
    return set()


def test_answers_are_as_described(inside: Inside, document: dict[str, Any]) -> None:
    client = inside.client()
    client.register("ada", MACHINE)
    client.submit(JOB)
    client.claim("ada", 0)
    client.submit(JOB)
    for path in ("/jobs", "/workers", "/health"):
        content = document["paths"][path]["get"]["responses"]["200"]["content"]
        schema = content["application/json"]["schema"] | {"components": document["components"]}
        answer = inside.call("GET", path).json()
        assert answer
        jsonschema.Draft202012Validator(schema).validate(answer)
