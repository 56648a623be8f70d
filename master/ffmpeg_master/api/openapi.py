"""The OpenAPI 3.1 description, made of the table of routes and the contract (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
_TAG: Final = {"ETag": "what If-None-Match asks with"}
#: What comes with a refusal.
_REFUSALS_TELL: Final = {
    401: {"WWW-Authenticate": "how to show a key (RFC 6750)"},
    429: {"Retry-After": "the seconds to wait"},
    503: {"Retry-After": "the seconds to wait"},
}
#: Nouns that stand under a name; all else is written where it is used.
_NAMED: Final = {
    "Batch": contract.BATCH,
    "Counts": contract.COUNTS,
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
    "TenantLimits": contract.TENANT_LIMITS,
    "TenantStatus": contract.TENANT_STATUS,
    "Problem": _PROBLEM,
}


def document(routes: Sequence[Route], path: JsonSchema) -> dict[str, Any]:
    """The whole description. ``path``: the schema of what stands in paths' braces."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        place = paths.setdefault(route.path.replace(":int", ""), {})
        place[route.method.lower()] = _operation(route, path, routes)
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


def _operation(route: Route, path: JsonSchema, routes: Sequence[Route]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _name(route),
        "summary": route.summary,
        "parameters": _parameters(route, path),
        "responses": _responses(route, routes),
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
    headers = route.headers or {"properties": {}}
    rows += [
        {"name": name, "in": "header", "required": name in headers.get("required", ()), "schema": s}
        for name, s in headers["properties"].items()
    ]
    if route.tagged:
        rows.append({"name": "If-None-Match", "in": "header", "schema": {"type": "string"}})
    return rows


def _links(routes: Sequence[Route]) -> dict[str, Any]:
    """What can be asked next of the job that an answer tells of."""
    job = {"job_id": "$response.body#/id"}
    return {
        _name(route): {"operationId": _name(route), "parameters": job}
        for route in routes
        if re.findall(r"{(.*?)}", route.path) == ["job_id"]
    }


def _name(route: Route) -> str:
    return f"{route.handler.__module__.rpartition('.')[2]}_{route.handler.__name__}"


def _responses(route: Route, routes: Sequence[Route]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, schema in route.answers.items():
        answer: dict[str, Any] = {"description": route.summary}
        if status != 204:
            media = route.gives.partition(";")[0]
            answer["content"] = {media: {"schema": _refer(schema or {"type": "string"})}}
        told: Mapping[str, str] = {**route.tells} | (_TAG if route.tagged and status == 200 else {})
        if told:
            answer["headers"] = _headers(told)
        if status == 201 and schema is contract.JOB_STATUS:
            answer["links"] = _links(routes)
        responses[str(status)] = answer
    for status in sorted({*route.problems, *_common(route)} - set(route.answers)):
        content = {problems.MEDIA_TYPE: {"schema": _refer(_PROBLEM)}}
        refusal = {"description": "Refused", "content": content}
        told = _REFUSALS_TELL.get(status, {})
        responses[str(status)] = refusal | ({"headers": _headers(told)} if told else {})
    if route.tagged:
        responses["304"] = {"description": "The client has it already", "headers": _headers(_TAG)}
    return responses


def _headers(told: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: {"description": words, "schema": {"type": "string"}} for name, words in told.items()
    }


def _common(route: Route) -> set[int]:
    """The problems that any route of this kind may answer with."""
    found = {400, 422, 500, 503}
    if route.role is not None:
        found |= {401, 403, 429}
    if route.takes is not None:
        found |= {408, 413, 415}
    if route.answers_with_body:
        found |= {406}
    return found
