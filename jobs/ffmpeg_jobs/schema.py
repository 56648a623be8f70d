"""JSON to nouns, checked. A refusal names the field, its value and what is allowed."""

from __future__ import annotations

import math
import typing
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import jsonschema

from ffmpeg_jobs import contract, fitting, places
from ffmpeg_jobs.model import Job
from ffmpeg_jobs.problems import InvalidField, InvalidJson
from ffmpeg_jobs.scenarios import with_defaults
from ffmpeg_jobs.wire import Noun, from_json, to_json

__all__ = [
    "Noun",
    "check",
    "from_json",
    "parse",
    "parse_batch",
    "parse_job",
    "to_json",
    "unix_seconds",
]


def check(schema: contract.JsonSchema, data: object, where: str = "") -> None:
    """Hold ``data`` to ``schema``, one of ``contract``; ``where`` is its place in the request.

    Raises InvalidField for the outermost thing that does not fit.
    """
    test, validator = _judges(schema)
    if test(data):
        return
    errors = validator.iter_errors(data)
    worst = min(errors, key=lambda e: (len(e.absolute_path), str(e.absolute_path)), default=None)
    if worst is not None:
        raise _refusal(worst, where)


def _is_number(_checker: object, value: object) -> bool:
    # Python reads NaN and Infinity, which are not JSON (RFC 8259, section 6).
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    with suppress(OverflowError):  # of a whole number that no float can be
        return plain and math.isfinite(typing.cast(float, value))
    return False


def _is_text(_checker: object, value: object) -> bool:
    # Half a surrogate pair ("\ud800") cannot be stored, logged or sent on as UTF-8.
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def _fits(_validator: object, pattern: str, value: object, _schema: object) -> Iterator[Any]:
    if isinstance(value, str) and not fitting.pattern(pattern).search(value):
        yield jsonschema.ValidationError(f"does not fit {pattern}")


_Draft = jsonschema.Draft202012Validator
_Validator = jsonschema.validators.extend(
    _Draft,
    {"pattern": _fits},
    type_checker=_Draft.TYPE_CHECKER.redefine_many({"number": _is_number, "string": _is_text}),
)
_known: dict[int, tuple[fitting.Test, Any]] = {}


def _judges(schema: contract.JsonSchema) -> tuple[fitting.Test, Any]:
    # By identity: the contract's tables are never changed, and live as long as we do.
    if id(schema) not in _known:
        _known[id(schema)] = fitting.test(schema), _Validator(schema)
    return _known[id(schema)]


def _refusal(error: Any, where: str) -> InvalidField:
    field = _place(where, error.absolute_path)
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
    allowed = str(error.schema.get("description", f"{error.validator} {error.validator_value}"))
    return InvalidField.of(field or "body", error.instance, allowed)


def _place(where: str, path: Iterable[str | int]) -> str:
    """A place in the request as people write it: ``jobs[3].input``."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return (where + "".join(steps)).removeprefix(".")


def parse(cls: type[Noun], schema: contract.JsonSchema, data: object, where: str = "") -> Noun:
    """Validate ``data`` and build the noun. Raises InvalidField; InvalidJson for a non-object."""
    check(schema, _object(data), where)
    return from_json(cls, _object(data))


def _object(data: object) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise InvalidJson(f"the body is {type(data).__name__}, an object is needed")
    return data


def parse_job(data: object, place: int = 0) -> Job:
    """A submitted job: validated, scenario's defaults filled in, fields held against each other.

    ``place``: how many stand before it in its batch. Raises InvalidField or InvalidJson.
    """
    check(contract.JOB, _object(data))
    job = from_json(Job, with_defaults(_object(data)))
    for name in ("not_before", "deadline"):
        _check_moment(name, getattr(job, name))
    _check_dependencies(job, place)
    for name in ("input", "output"):
        _check_place(name, getattr(job, name))
    _check_callback(job.callback_url)
    _check_together(job)
    return job


def parse_batch(data: object) -> list[Job]:
    """The jobs of a batch, each as ``parse_job`` has it; a refusal's field is ``jobs[3].input``.

    Raises InvalidField or InvalidJson.
    """
    check(contract.BATCH, _object(data))
    return [_parse_nth(index, job) for index, job in enumerate(_object(data)["jobs"])]


def _parse_nth(index: int, data: object) -> Job:
    try:
        return parse_job(data, index)
    except InvalidField as problem:
        errors = [e | {"field": f"jobs[{index}].{e['field']}"} for e in problem.members["errors"]]
        raise InvalidField(f"jobs[{index}].{problem.detail}", errors=errors) from None


def unix_seconds(moment: str) -> float:
    """Unix time in seconds of an RFC 3339 time.

    Raises ValueError for one that does not exist, OverflowError for one that UTC cannot say.
    """
    return datetime.fromisoformat(moment).astimezone(UTC).timestamp()


def _check_moment(name: str, moment: str | None) -> None:
    try:
        if moment is not None:
            unix_seconds(moment)
    except (ValueError, OverflowError):
        allowed = str(contract.JOB["properties"][name]["description"])
        raise InvalidField.of(name, moment, allowed) from None


def _check_dependencies(job: Job, place: int) -> None:
    for index, other in enumerate(job.depends_on):
        if other.startswith("#") and int(other[1:]) >= place:
            earlier = (
                f', or of its batch "#0" to "#{place - 1}", who stand before it' if place else ""
            )
            raise InvalidField.of(f"depends_on[{index}]", other, f"the id of a job{earlier}")


def _check_place(name: str, place: str | None) -> None:
    if place is None:
        return
    try:
        places.normal(place)  # whoever shows or opens it takes it apart so
        allowed = places.fault(place)
    except ValueError:
        allowed = str(contract.JOB["properties"][name]["description"])
    if allowed is not None:
        raise InvalidField.of(name, place, allowed)


def _check_callback(url: str | None) -> None:
    try:
        parts = urlsplit(url or "http://none")
        good = bool(parts.hostname) and parts.port != 0 and parts.username is None
        (parts.hostname or "").encode("idna")
    except ValueError:  # of the port, or of an IPv6 address; UnicodeError: no name of a host
        good = False
    if not good or (url is not None and not url.isascii()):
        allowed = str(contract.JOB["properties"]["callback_url"]["description"])
        raise InvalidField.of("callback_url", url, allowed)


def _check_together(job: Job) -> None:
    """What one field allows may depend on another."""
    asked = job.parameters
    if None not in (job.input, job.output) and _same(str(job.input), str(job.output)):
        raise InvalidField.of("output", job.output, "another place than the input's")
    if job.input is None and asked.duration is None:
        words = contract.PARAMETERS["properties"]["duration"]["description"]
        what = "a job without an input is a synthetic source and needs its length"
        sentence = f"parameters.duration: missing; {what}, {words}"
        raise InvalidField.of("parameters.duration", None, words, sentence)
    if asked.encoder == "none" and asked.audio_encoder == "none":
        allowed = "an encoder when encoder is none too"
        raise InvalidField.of("parameters.audio_encoder", "none", allowed)
    for name, goes_with in _ENCODED_ONLY.items():
        encoder = getattr(asked, name)
        if job.input is None and encoder == "copy":
            allowed = "an encoder, because a synthetic source has no streams to copy"
            raise InvalidField.of(f"parameters.{name}", "copy", allowed)
        for other in goes_with if encoder in ("copy", "none") else ():
            value = getattr(asked, other)
            if value is not None:
                allowed = f"nothing, because {name} is {encoder}"
                raise InvalidField.of(f"parameters.{other}", value, allowed)


def _same(place: str, other: str) -> bool:
    return places.normal(place) == places.normal(other)


#: What means nothing to streams that are copied or left out.
_ENCODED_ONLY = {
    "encoder": ("bitrate", "preset", "tune", "crf", "width", "height", "framerate"),
    "audio_encoder": ("audio_bitrate",),
}
