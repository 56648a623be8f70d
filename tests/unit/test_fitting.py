"""What is said of JSON is what jsonschema says of it, and costs as much as the JSON is long."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffmpeg_jobs import contract, fitting
from ffmpeg_jobs.problems import InvalidField
from ffmpeg_jobs.schema import check
from tests.calls import calls

OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
        "part": {"type": "number", "maximum": 1e9},
        "even": {"type": "integer", "multipleOf": 2},
        "is": {"type": "boolean"},
        "list": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
        "set": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
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
EACH = pytest.mark.parametrize("schema", SCHEMAS, ids=[s["type"] for s in SCHEMAS])


def _is_number(_checker: object, value: object) -> bool:
    # Python reads NaN and Infinity, which are not JSON (RFC 8259, section 6).
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _is_text(_checker: object, value: object) -> bool:
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def _fits(_validator: object, pattern: str, value: object, _schema: object) -> Iterator[Any]:
    if isinstance(value, str) and not fitting.pattern(pattern).search(value):
        yield jsonschema.ValidationError(f"does not fit {pattern}")


_Draft = jsonschema.Draft202012Validator
Validator = jsonschema.validators.extend(
    _Draft,
    {"pattern": _fits},
    type_checker=_Draft.TYPE_CHECKER.redefine_many({"number": _is_number, "string": _is_text}),
)


def agree(schema: dict[str, Any], value: Any) -> None:
    """Ours fits what theirs does, and where ours finds fault theirs does, too."""
    errors = list(Validator(schema).iter_errors(value))
    found = fitting.misfit(schema, value)
    assert fitting.test(schema)(value) is (found is None) is (not errors)
    if found is not None:
        assert found.path in {tuple(error.absolute_path) for error in errors}


@EACH
@given(value=VALUES)
@settings(max_examples=50, deadline=None)
def test_what_fits_is_what_jsonschema_says(schema: dict[str, Any], value: Any) -> None:
    agree(schema, value)


@EACH
def test_the_odd_ones_too(schema: dict[str, Any]) -> None:
    for value in ODD:
        for one in (
            value,
            [value],
            {"name": value},
            {"name": "a", "list": [value]},
            {"a": value},
            [value] * 2,
        ):
            agree(schema, one)


@pytest.mark.parametrize(
    "more",
    [
        {"list": ["a", "b", "c"]},
        {"list": []},
        {"set": ["a", "b", "a"]},
        {"kind": "a", "count": 1, "is": True},
        {"even": 3},
        {"count": 10},
        {"kind": "c"},
        {"x": 1},
    ],
)
def test_each_bound_is_held(more: dict[str, Any]) -> None:
    value = {"name": "a", **more}
    assert not fitting.test(OBJECT)(value)
    agree(OBJECT, value)
    agree(MAP, {})


def test_a_number_is_one_that_a_float_can_be() -> None:
    assert fitting.test({"type": "number"})(10**308)
    wrong = fitting.misfit({"type": "number"}, 10**400)
    assert wrong is not None
    assert wrong.keyword == "type"


@pytest.mark.parametrize("schema", [contract.JOB, contract.CLAIM_REQUEST, contract.HEARTBEAT])
def test_what_a_schema_says_and_is_not_known_is_a_fault_of_ours(schema: dict[str, Any]) -> None:
    fitting.test(schema)
    with pytest.raises(ValueError, match=r"^not known here: \$comment$"):
        fitting.test(schema | {"$comment": "new"})


#: Each would cost much if what it holds were looked at before its length, or all of its faults.
BAD: list[Callable[[int], tuple[dict[str, Any], Any]]] = [
    lambda n: (contract.JOB, {"depends_on": [None, *range(n)]}),
    lambda n: (contract.JOB, {"depends_on": [{"a": i} for i in range(n)]}),
    lambda n: (contract.CLAIM_REQUEST, {"worker": "ada", "results": [1] * n}),
    lambda n: (contract.CLAIM_REQUEST, {"worker": "ada", "results": [{}] * n}),
    lambda n: (contract.HEARTBEAT, {"running": [1] * n}),
    lambda n: (contract.HEARTBEAT, {"running": [{str(i): i} for i in range(n)]}),
    lambda n: (contract.JOB, {"labels": {str(i): i for i in range(n)}}),
    lambda n: (contract.JOB, {str(i): i for i in range(n)}),
    lambda n: (contract.JOB, {"input": "/" + "x" * n}),
    lambda n: (contract.BATCH, {"jobs": [1] * n}),
]


@pytest.mark.parametrize("make", BAD)
def test_a_refusal_does_not_cost_more_the_longer_it_is(
    make: Callable[[int], tuple[dict[str, Any], Any]],
) -> None:
    def refuse(schema: dict[str, Any], value: Any) -> None:
        with pytest.raises(InvalidField):
            check(schema, value)

    (schema, short), (_, long) = make(5_000), make(20_000)
    refuse(schema, short)  # what is made once is made
    assert calls(lambda: refuse(schema, long)) <= calls(lambda: refuse(schema, short)) + 1500


def test_what_is_wrong_at_the_end_costs_no_more_than_what_fits() -> None:
    report = {"job_id": "a" * 12, "attempt": 1, "token": "t" * 16, "progress": {"percent": 1}}
    good = {"running": [report] * 5000}
    bad = {"running": [report] * 4999 + [1]}
    check(contract.HEARTBEAT, good)
    cost = calls(lambda: check(contract.HEARTBEAT, good))
    with pytest.raises(InvalidField, match=r"running\[4999\]"):
        check(contract.HEARTBEAT, bad)

    def refuse() -> None:
        with pytest.raises(InvalidField):
            check(contract.HEARTBEAT, bad)

    assert calls(refuse) <= 2.1 * cost


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
