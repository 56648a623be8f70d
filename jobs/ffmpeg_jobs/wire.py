"""The JSON form of nouns, and nouns from JSON that is known to be good (pure)."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar

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
    hints = _hints(typing.cast(Any, cls))
    return cls(
        **{name: _build(hints[name], value) for name, value in data.items() if name in hints}
    )


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _build(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _build(next(a for a in inner if a is not type(None)), value)
    if origin is tuple:
        return tuple(_build(inner[0], v) for v in value)
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type[Any], hint), value)
    # JSON has one kind of number: 23.0 is a whole number, 23 a fraction.
    converts = hint in (int, float) or (isinstance(hint, type) and issubclass(hint, Enum))
    return hint(value) if converts else value
