"""Whether JSON fits a schema, told quickly (pure).

Nearly all that arrives fits. What does not, or what asks more of its schema than is known here,
is for jsonschema to judge, which takes ten times as long and can say why.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from ffmpeg_jobs.contract import JsonSchema

#: Whether a value certainly fits.
Test = Callable[[Any], bool]

#: Half a surrogate pair, which no UTF-8 can say.
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ANY: Final = frozenset({"type", "description"})
_OF_NUMBER: Final = _ANY | {"minimum", "maximum"}
_OF_STRING: Final = _ANY | {"enum", "pattern", "maxLength"}
_OF_ARRAY: Final = _ANY | {"items", "minItems", "maxItems"}
_OF_OBJECT: Final = _ANY | {
    *("properties", "additionalProperties", "propertyNames", "required"),
    *("minProperties", "maxProperties"),
}


def pattern(text: str) -> re.Pattern[str]:
    """A pattern of ECMA-262, where "$" is the end; in Python it also stands before a last
    newline."""
    return re.compile(re.sub(r"\$$", r"\\Z", text))


def test(schema: JsonSchema) -> Test:
    """The test of a schema, to be made once."""
    known, make = _MAKERS.get(str(schema.get("type")), (_ANY, _never))
    return make(schema) if schema.keys() <= known else _never(schema)


def _never(_schema: JsonSchema) -> Test:
    return lambda _value: False


def _boolean(_schema: JsonSchema) -> Test:
    return lambda value: type(value) is bool


def _number(schema: JsonSchema, kinds: frozenset[type] = frozenset({int, float})) -> Test:
    # No infinity, and NaN is in no range.
    least = schema.get("minimum", -sys.float_info.max)
    most = schema.get("maximum", sys.float_info.max)
    return lambda value: type(value) in kinds and least <= value <= most


def _integer(schema: JsonSchema) -> Test:
    return _number(schema, frozenset({int}))


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
    item = test(schema["items"])
    return lambda value: (
        type(value) is list and least <= len(value) <= most and all(map(item, value))
    )


def _object(schema: JsonSchema) -> Test:
    least, most = schema.get("minProperties", 0), schema.get("maxProperties", sys.maxsize)
    required = frozenset(schema.get("required", ()))
    tests = {name: test(of) for name, of in schema.get("properties", {}).items()}
    more = schema.get("additionalProperties")
    other = test(more) if isinstance(more, dict) else _never(schema)
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


_MAKERS: Final[Mapping[str, tuple[frozenset[str], Callable[[JsonSchema], Test]]]] = {
    "boolean": (_ANY, _boolean),
    "integer": (_OF_NUMBER, _integer),
    "number": (_OF_NUMBER, _number),
    "string": (_OF_STRING, _string),
    "array": (_OF_ARRAY, _array),
    "object": (_OF_OBJECT, _object),
}
