"""Whether JSON fits a schema and what of it does not, in a time that its length bounds (pure).

Known here is what our schemas say, and no more (JSON Schema 2020-12). A library that knows it all
looks at what a list holds before it says that the list is too long, and goes on after an error.
Here lengths come first, and the first thing that does not fit is the last that is looked at.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from ffmpeg_jobs.shapes import JsonSchema

#: Whether a value fits.
Test = Callable[[Any], bool]

#: Half a surrogate pair, which no UTF-8 can say.
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ANY: Final = frozenset({"type", "description"})
_OF_NUMBER: Final = _ANY | {"minimum", "maximum", "multipleOf"}
_OF_STRING: Final = _ANY | {"enum", "pattern", "maxLength"}
_OF_ARRAY: Final = _ANY | {"items", "minItems", "maxItems", "uniqueItems"}
_OF_OBJECT: Final = _ANY | {
    *("properties", "additionalProperties", "propertyNames", "required"),
    *("minProperties", "maxProperties"),
}


@dataclass(frozen=True)
class Misfit:
    """Something that does not fit."""

    path: tuple[str | int, ...]  #: where it is
    keyword: str  #: what its schema says that it is not
    schema: JsonSchema
    value: Any


def pattern(text: str) -> re.Pattern[str]:
    """A pattern of ECMA-262, where "$" is the end; in Python it also stands before a last
    newline."""
    return re.compile(re.sub(r"\$$", r"\\Z", text))


def test(schema: JsonSchema) -> Test:
    """The test of a schema, to be made once. Raises ValueError for what is not known here."""
    known, make = _MAKERS[schema["type"]]
    if not schema.keys() <= known:
        raise ValueError(f"not known here: {', '.join(schema.keys() - known)}")
    return make(schema)


def _boolean(_schema: JsonSchema) -> Test:
    return lambda value: type(value) is bool


def _number(schema: JsonSchema) -> Test:
    return _in_range(schema, _is_number)


def _integer(schema: JsonSchema) -> Test:
    return _in_range(schema, _is_whole)


def _in_range(schema: JsonSchema, is_one: Test) -> Test:
    least, most = schema.get("minimum", -inf), schema.get("maximum", inf)
    step = schema.get("multipleOf")
    if step is None:
        return lambda value: is_one(value) and least <= value <= most
    return lambda value: is_one(value) and least <= value <= most and value % step == 0


def _is_number(value: Any) -> bool:
    # No infinity, and NaN is in no range (RFC 8259, section 6); nor what no float can be.
    most = sys.float_info.max
    return type(value) in {int, float} and -most <= value <= most


def _is_whole(value: Any) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())  # 23.0


def _is_text(value: Any) -> bool:
    return type(value) is str and (value.isascii() or _SURROGATE.search(value) is None)


def _string(schema: JsonSchema) -> Test:
    most = schema.get("maxLength", sys.maxsize)
    search = pattern(schema.get("pattern", "")).search
    allowed = frozenset(schema["enum"]) if "enum" in schema else None

    def fits(value: Any) -> bool:
        return (
            type(value) is str
            and len(value) <= most
            and (allowed is None or value in allowed)
            and search(value) is not None
            and (value.isascii() or _SURROGATE.search(value) is None)
        )

    return fits


def _array(schema: JsonSchema) -> Test:
    least, most = schema.get("minItems", 0), schema.get("maxItems", sys.maxsize)
    item, unique = test(schema["items"]), schema.get("uniqueItems", False)
    return lambda value: (
        type(value) is list
        and least <= len(value) <= most
        and all(map(item, value))
        and (not unique or len(set(value)) == len(value))  # of what JSON has no parts of
    )


def _object(schema: JsonSchema) -> Test:
    least, most = schema.get("minProperties", 0), schema.get("maxProperties", sys.maxsize)
    required = frozenset(schema.get("required", ()))
    tests = {name: test(of) for name, of in schema.get("properties", {}).items()}
    other = _of_others(schema)
    called = test(schema["propertyNames"]) if "propertyNames" in schema else None

    def fits(value: Any) -> bool:
        return (
            type(value) is dict
            and least <= len(value) <= most
            and required <= value.keys()
            and (called is None or all(map(called, value)))
            and all(tests.get(name, other)(one) for name, one in value.items())
        )

    return fits


def _of_others(schema: JsonSchema) -> Test:
    """The test of properties that the schema does not name."""
    others = schema.get("additionalProperties", True)
    return test(others) if isinstance(others, dict) else lambda _value: bool(others)


_MAKERS: Final[Mapping[str, tuple[frozenset[str], Callable[[JsonSchema], Test]]]] = {
    "boolean": (_ANY, _boolean),
    "integer": (_OF_NUMBER, _integer),
    "number": (_OF_NUMBER, _number),
    "string": (_OF_STRING, _string),
    "array": (_OF_ARRAY, _array),
    "object": (_OF_OBJECT, _object),
}

_TYPES: Final[Mapping[str, Test]] = {
    "boolean": lambda value: type(value) is bool,
    "integer": _is_whole,
    "number": _is_number,
    "string": _is_text,
    "array": lambda value: type(value) is list,
    "object": lambda value: type(value) is dict,
}
#: What a value must be before it is looked at what it holds, in this order: by what its schema
#: says of it, and the schema.
_ITSELF: Final[Mapping[str, Callable[[Any, Any, JsonSchema], object]]] = {
    "type": lambda rule, value, _: _TYPES[rule](value),
    "maxLength": lambda rule, value, _: len(value) <= rule,
    "maxItems": lambda rule, value, _: len(value) <= rule,
    "minItems": lambda rule, value, _: len(value) >= rule,
    "maxProperties": lambda rule, value, _: len(value) <= rule,
    "minProperties": lambda rule, value, _: len(value) >= rule,
    "enum": lambda rule, value, _: value in rule,
    "pattern": lambda rule, value, _: pattern(rule).search(value) is not None,
    "minimum": lambda rule, value, _: value >= rule,
    "maximum": lambda rule, value, _: value <= rule,
    "multipleOf": lambda rule, value, _: value % rule == 0,
    "additionalProperties": lambda rule, value, schema: (
        rule is not False or value.keys() <= schema.get("properties", {}).keys()
    ),
    "required": lambda rule, value, _: value.keys() >= set(rule),
}


def whole(schema: JsonSchema, value: Any) -> Misfit:
    """All of it, for who cannot say more."""
    return Misfit((), "type", schema, value)


def misfit(schema: JsonSchema, value: Any) -> Misfit | None:
    """What does not fit, the first from the outside in; None: all does."""
    for keyword, fits in _ITSELF.items():
        if keyword in schema and not fits(schema[keyword], value, schema):
            return Misfit((), keyword, schema, value)
    if type(value) is dict:
        return _in_object(schema, value)
    if type(value) is list:
        return _in_array(schema, value)
    return None


def _in_object(schema: JsonSchema, value: dict[str, Any]) -> Misfit | None:
    names, others = schema.get("propertyNames"), schema.get("additionalProperties", True)
    for name, one in value.items():
        if names is not None and (found := misfit(names, name)):
            return found
        part = schema.get("properties", {}).get(name, others)
        if isinstance(part, dict) and (found := misfit(part, one)):
            return Misfit((name, *found.path), found.keyword, found.schema, found.value)
    return None


def _in_array(schema: JsonSchema, value: list[Any]) -> Misfit | None:
    fits = test(schema["items"])
    for place, one in enumerate(value):
        if not fits(one):
            found = misfit(schema["items"], one)
            return found and Misfit((place, *found.path), found.keyword, found.schema, found.value)
    if schema.get("uniqueItems", False) and len(set(value)) < len(value):
        return Misfit((), "uniqueItems", schema, value)
    return None
