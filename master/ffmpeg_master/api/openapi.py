"""The OpenAPI 3.1 description, made of the table of routes and the contract (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ffmpeg_jobs import __version__, contract, problems
from ffmpeg_jobs.contract import JsonSchema
from ffmpeg_master.api.call import Route

_PROBLEM: Final[JsonSchema] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail"],
}
#: Nouns that stand under a name; all else is written where it is used.
_NAMED: Final = {
    "Batch": contract.BATCH,
    "Group": contract.GROUP,
    "Job": contract.JOB,
    "JobStatus": contract.JOB_STATUS,
    "NewLimits": contract.NEW_LIMITS,
    "Terms": contract.TERMS,
    "Claim": contract.CLAIM,
    "ClaimRequest": contract.CLAIM_REQUEST,
    "Machine": contract.MACHINE,
    "Heartbeat": contract.HEARTBEAT,
    "HeartbeatAnswer": contract.HEARTBEAT_ANSWER,
    "Outcome": contract.OUTCOME,
    "WorkerStatus": contract.WORKER_STATUS,
    "AuditEntry": contract.AUDIT_ENTRY,
    "Problem": _PROBLEM,
}


def document(routes: Sequence[Route], path: JsonSchema) -> dict[str, Any]:
    """The whole description. ``path``: the schema of what stands in paths' braces."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        place = paths.setdefault(route.path.replace(":int", ""), {})
        place[route.method.lower()] = _operation(route, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ffmpeg-master", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {name: _refer(schema, top=False) for name, schema in _NAMED.items()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _refer(schema: Any, *, top: bool = True) -> Any:
    """The schema with each named noun in it replaced by a reference."""
    if isinstance(schema, list):
        return [_refer(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    for name, noun in _NAMED.items():
        if top and schema is noun:
            return {"$ref": f"#/components/schemas/{name}"}
    return {key: _refer(value) for key, value in schema.items()}


def _operation(route: Route, path: JsonSchema) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}_{route.handler.__name__}",
        "summary": route.summary,
        "parameters": _parameters(route, path),
        "responses": _responses(route),
    }
    if route.role is not None:
        operation["security"] = [{"key": []}]
        operation["description"] = f"Needs a key with the role {route.role.value}, or a higher one."
    if route.takes is not None:
        body = _refer(route.body) if route.body else {"type": "string"}
        content = {route.takes: {"schema": body}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameters(route: Route, path: JsonSchema) -> list[dict[str, Any]]:
    rows = [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in path["properties"].items()
        if f"{{{name}" in route.path
    ]
    query = route.query["properties"] if route.query else {}
    rows += [{"name": name, "in": "query", "schema": schema} for name, schema in query.items()]
    rows += [
        {"name": name, "in": "header", "description": words, "schema": {"type": "string"}}
        for name, words in route.headers.items()
    ]
    return rows


def _responses(route: Route) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, schema in route.answers.items():
        answer: dict[str, Any] = {"description": route.summary}
        if status != 204:
            media = route.gives.partition(";")[0]
            answer["content"] = {media: {"schema": _refer(schema or {"type": "string"})}}
        responses[str(status)] = answer
    for status in sorted({*route.problems, *_common(route)} - set(route.answers)):
        content = {problems.MEDIA_TYPE: {"schema": _refer(_PROBLEM)}}
        responses[str(status)] = {"description": "Refused", "content": content}
    return responses


def _common(route: Route) -> set[int]:
    """The problems that any route of this kind may answer with."""
    found = {422, 500, 503}
    if route.role is not None:
        found |= {401, 403, 429}
    if route.takes is not None:
        found |= {400, 413, 415}
    return found
