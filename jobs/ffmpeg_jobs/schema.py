"""JSON to nouns and back. A refusal names the field, its value and what is allowed."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar

import jsonschema

from ffmpeg_jobs import contract
from ffmpeg_jobs.model import Job
from ffmpeg_jobs.problems import InvalidField, InvalidJson
from ffmpeg_jobs.scenarios import with_defaults

Noun = TypeVar("Noun")


def to_json(noun: object) -> Any:
    """The JSON form of a noun: names of fields as they are, enums as their value.

    A field that is None is left out: absent and unknown are the same on the wire.
    """
    if dataclasses.is_dataclass(noun):
        values = ((f.name, getattr(noun, f.name)) for f in dataclasses.fields(noun))
        return {name: to_json(value) for name, value in values if value is not None}
    if isinstance(noun, Enum):
        return noun.value
    if isinstance(noun, Mapping):
        return {str(k): to_json(v) for k, v in noun.items()}
    if isinstance(noun, (list, tuple)):
        return [to_json(v) for v in noun]
    return noun


def from_json(cls: type[Noun], data: Mapping[str, Any]) -> Noun:
    """The noun that ``data`` holds. ``data`` was validated, or was written by us."""
    hints = _hints(cls)
    return cls(
        **{name: _build(hints[name], value) for name, value in data.items() if name in hints}
    )


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _build(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        inner = next(a for a in typing.get_args(hint) if a is not type(None))
        return _build(inner, value)
    if origin is tuple:
        return tuple(_build(typing.get_args(hint)[0], v) for v in value)
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type[Any], hint), value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if hint is float:
        return float(value)
    return value


def check(schema: contract.JsonSchema, data: object, where: str = "") -> None:
    """Hold ``data`` to ``schema``; raises InvalidField for the first thing that does not fit."""
    errors = _validator(id(schema), schema).iter_errors(data)
    worst = min(errors, key=lambda e: (len(e.absolute_path), str(e.absolute_path)), default=None)
    if worst is not None:
        raise _refusal(worst, where)


_validators: dict[int, Any] = {}


def _validator(key: int, schema: contract.JsonSchema) -> Any:
    # The schemas are module constants, so an id is never reused.
    if key not in _validators:
        _validators[key] = jsonschema.Draft202012Validator(schema)
    return _validators[key]


def _refusal(error: Any, where: str) -> InvalidField:
    field = ".".join([*([where] if where else []), *(str(p) for p in error.absolute_path)])
    allowed = str(error.schema.get("description", f"{error.validator} {error.validator_value}"))
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        name = next(n for n in error.instance if n not in known)
        full = f"{field}.{name}" if field else str(name)
        names = ", ".join(known)
        what = f"{full}: unknown field; allowed are {names}"
        return InvalidField.of(full, error.instance[name], names, what)
    if error.validator == "required":
        name = next(n for n in error.validator_value if n not in error.instance)
        full = f"{field}.{name}" if field else str(name)
        allowed = str(error.schema["properties"][name].get("description", "any"))
        return InvalidField.of(full, None, allowed, f"{full}: missing; needed is {allowed}")
    return InvalidField.of(field or "body", error.instance, allowed)


def parse(cls: type[Noun], schema: contract.JsonSchema, data: object, where: str = "") -> Noun:
    """Validate ``data`` and build the noun. Raises InvalidField, or InvalidJson for a non-object."""
    if not isinstance(data, dict):
        raise InvalidJson(f"the body is {type(data).__name__}, an object is needed")
    check(schema, data, where)
    return from_json(cls, data)


def parse_job(data: object) -> Job:
    """A submitted job: validated, scenario's defaults filled in, fields held against each other.

    Raises InvalidField or InvalidJson.
    """
    if not isinstance(data, dict):
        raise InvalidJson(f"the body is {type(data).__name__}, an object is needed")
    check(contract.JOB, data)
    job = from_json(Job, with_defaults(data))
    _check_together(job)
    return job


def _check_together(job: Job) -> None:
    """What one field allows may depend on another."""
    asked = job.parameters
    if job.input is None and asked.duration is None:
        raise InvalidField.of(
            "parameters.duration",
            None,
            "a number of seconds, 0.1 to 86400",
            "parameters.duration: missing; a job without an input is a synthetic source and "
            "needs its length in seconds, 0.1 to 86400",
        )
    if job.input is None and "copy" in (asked.encoder, asked.audio_encoder):
        name = "encoder" if asked.encoder == "copy" else "audio_encoder"
        raise InvalidField.of(
            f"parameters.{name}",
            "copy",
            "an encoder, because a synthetic source has no streams to copy",
        )
    if asked.encoder == "none" and asked.audio_encoder == "none":
        raise InvalidField.of(
            "parameters.audio_encoder", "none", "an encoder when encoder is none too"
        )
    if asked.encoder in ("copy", "none"):
        for name in ("bitrate", "preset", "tune", "crf", "width", "height", "framerate"):
            value = getattr(asked, name)
            if value is not None:
                raise InvalidField.of(
                    f"parameters.{name}", value, f"nothing, because encoder is {asked.encoder}"
                )
