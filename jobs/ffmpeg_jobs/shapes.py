"""The few shapes that fields of our JSON have, as JSON Schema.

Each carries a ``description`` that says in words what is allowed, because that is what a
refusal shows to a person.
"""

from __future__ import annotations

from typing import Any

JsonSchema = dict[str, Any]


def whole(low: int, high: int, unit: str) -> JsonSchema:
    """A whole number of ``unit`` from ``low`` to ``high``."""
    words = f"a whole number of {unit}, {low} to {high}"
    return {"type": "integer", "minimum": low, "maximum": high, "description": words}


def number(low: float, high: float, unit: str) -> JsonSchema:
    """A number of ``unit`` from ``low`` to ``high``."""
    words = f"a number of {unit}, {low} to {high}"
    return {"type": "number", "minimum": low, "maximum": high, "description": words}


def choice(*values: str) -> JsonSchema:
    """One of the given words."""
    return {"type": "string", "enum": list(values), "description": "one of " + ", ".join(values)}


def text(pattern: str, longest: int, words: str) -> JsonSchema:
    """A text of at most ``longest`` characters that ``pattern`` fits (ECMA-262, anchored)."""
    return {"type": "string", "pattern": pattern, "maxLength": longest, "description": words}


def items(item: JsonSchema, longest: int, words: str) -> JsonSchema:
    """A list of at most ``longest`` items."""
    return {"type": "array", "items": item, "maxItems": longest, "description": words}


def fields(properties: dict[str, JsonSchema], *, needs: str = "") -> JsonSchema:
    """An object with these fields and no others; ``needs`` lists those that must be there."""
    schema: JsonSchema = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "description": "an object with the fields " + ", ".join(properties),
    }
    return schema | {"required": needs.split()} if needs else schema
