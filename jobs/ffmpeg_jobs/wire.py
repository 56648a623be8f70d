"""The JSON form of nouns, and nouns from JSON that is known to be good (pure)."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar

Noun = TypeVar("Noun")

_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def to_json(noun: object) -> Any:
    """The JSON form of a noun: names of fields as they are, enums as their value.

    A field that is None is left out: absent and unknown are the same on the wire.
    """
    kind = type(noun)
    if kind in _PLAIN:
        return noun
    names = _fields(typing.cast(Any, kind))
    if names is not None:
        values = [(name, getattr(noun, name)) for name in names]
        return {
            name: value if type(value) in _PLAIN else to_json(value)
            for name, value in values
            if value is not None
        }
    if isinstance(noun, (list, tuple)):
        return [to_json(v) for v in noun]
    if isinstance(noun, Enum):
        return noun.value
    if isinstance(noun, Mapping):
        return {str(k): to_json(v) for k, v in noun.items()}
    return noun


@cache
def _fields(kind: Any) -> tuple[str, ...] | None:
    """The names of a dataclass's fields; None of what is none."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple(field.name for field in dataclasses.fields(kind))


def from_json(cls: type[Noun], data: Mapping[str, Any]) -> Noun:
    """The noun that ``data`` holds. ``data`` was validated, or was written by us."""
    builders = _builders(typing.cast(Any, cls))
    return cls(
        **{
            name: None if value is None else builders[name](value)
            for name, value in data.items()
            if name in builders
        }
    )


@cache
def _builders(cls: Any) -> dict[str, Callable[[Any], Any]]:
    """How the value of each field is made of its JSON."""
    return {name: _builder(hint) for name, hint in typing.get_type_hints(cls).items()}


def _builder(hint: Any) -> Callable[[Any], Any]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _builder(next(a for a in inner if a is not type(None)))
    if origin is tuple:
        build = _builder(inner[0])
        return lambda values: tuple(None if v is None else build(v) for v in values)
    if dataclasses.is_dataclass(hint):
        return lambda value: from_json(typing.cast(type[Any], hint), value)
    # JSON has one kind of number: 23.0 is a whole number, 23 a fraction.
    if hint in (int, float) or (isinstance(hint, type) and issubclass(hint, Enum)):
        return typing.cast(Callable[[Any], Any], hint)
    return lambda value: value
