"""JSON to nouns, checked. A refusal names the field, its value and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

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


_tests: dict[int, fitting.Test] = {}


def check(schema: contract.JsonSchema, data: object, where: str = "") -> None:
    """Hold ``data`` to ``schema``, one of ``contract``; ``where`` is its place in the request.

    Raises InvalidField for the first thing that does not fit, from the outside in.
    """
    # By identity: the contract's tables are never changed, and live as long as we do.
    test = _tests.get(id(schema))
    if test is None:
        test = _tests[id(schema)] = fitting.test(schema)
    if not test(data):
        raise _refusal(fitting.misfit(schema, data) or fitting.whole(schema, data), where)


def _refusal(wrong: fitting.Misfit, where: str) -> InvalidField:
    field, schema = _place(where, wrong.path), wrong.schema
    if wrong.keyword == "additionalProperties":
        known = schema["properties"]
        name = next(n for n in wrong.value if n not in known)
        full = f"{field}.{name}" if field else str(name)
        names = ", ".join(known)
        what = f"{full}: unknown field; allowed are {names}"
        return InvalidField.of(full, wrong.value[name], names, what)
    if wrong.keyword == "required":
        name = next(n for n in schema["required"] if n not in wrong.value)
        full = f"{field}.{name}" if field else str(name)
        allowed = str(schema["properties"][name].get("description", "any"))
        return InvalidField.of(full, None, allowed, f"{full}: missing; needed is {allowed}")
    allowed = str(schema.get("description", f"{wrong.keyword} {schema[wrong.keyword]}"))
    return InvalidField.of(field or "body", wrong.value, allowed)


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
