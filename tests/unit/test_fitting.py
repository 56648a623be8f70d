"""What is told quickly of JSON is what jsonschema says of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffmpeg_jobs import contract, fitting
from ffmpeg_jobs.problems import InvalidField
from ffmpeg_jobs.schema import check

OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
        "part": {"type": "number"},
        "even": {"type": "integer", "multipleOf": 2},
        "is": {"type": "boolean"},
        "list": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
    },
    "additionalProperties": False,
    "required": ["name"],
    "maxProperties": 3,
}
MAP: dict[str, Any] = {
    "type": "object",
    "propertyNames": {"type": "string", "pattern": "^[a-z]+$"},
    "additionalProperties": {"type": "string", "pattern": "^[^\\x00]*$"},
    "minProperties": 1,
}

ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 9, 10, 2, 3, 1.0, 0.5, float("nan"), float("inf"), 10**400),
    *("", "a", "abc", "abcd", "a\n", "A", "b", "\x00", "\ud800", "\udfff\ud800", "ä", "a b"),
]
VALUES = st.recursive(
    st.sampled_from(ODD),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*OBJECT["properties"], "x", "X", "\ud800", ""]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
SCHEMAS = [OBJECT, MAP, *OBJECT["properties"].values()]
#: The same with a keyword of which nothing is told quickly: jsonschema judges alone.
SLOW = [{**schema, "$comment": "slow"} for schema in SCHEMAS]
BOTH = pytest.mark.parametrize(
    ("schema", "slow"), list(zip(SCHEMAS, SLOW, strict=True)), ids=[s["type"] for s in SCHEMAS]
)


def says(slow: dict[str, Any], value: Any) -> bool:
    """What jsonschema says."""
    try:
        check(slow, value)
    except InvalidField:
        return False
    return True


@BOTH
@given(value=VALUES)
@settings(max_examples=50)
def test_what_fits_quickly_fits(schema: dict[str, Any], slow: dict[str, Any], value: Any) -> None:
    assert not fitting.test(schema)(value) or says(slow, value)


@BOTH
def test_the_odd_ones_too(schema: dict[str, Any], slow: dict[str, Any]) -> None:
    test = fitting.test(schema)
    for value in ODD:
        for one in (value, [value], {"name": value}, {"name": "a", "list": [value]}, {"a": value}):
            assert not test(one) or says(slow, one)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (contract.JOB, {"parameters": {"duration": 1, "bitrate": "4M"}, "labels": {"title": "ä"}}),
        (contract.BATCH, {"jobs": [{"parameters": {"duration": 1.5}}] * 100}),
        (OBJECT, {"name": "abc", "count": 9, "list": ["", "x"]}),
        (MAP, {"a": ""}),
    ],
)
def test_what_is_sent_mostly_is_told_quickly(schema: dict[str, Any], value: Any) -> None:
    assert fitting.test(schema)(value)
