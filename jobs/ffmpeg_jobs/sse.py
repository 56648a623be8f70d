"""Server-Sent Events as they come in (WHATWG HTML, section 9.2.6) (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One event: what kind, which one, and its data."""

    name: str = "message"
    id: str = ""
    data: str = ""


def events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The events of a stream that comes in pieces; what is cut off at its end is none."""
    fields: dict[str, str] = {}
    for line in _lines(chunks):
        if not line:
            if "data" in fields:
                name = fields.get("event", "message")
                yield Event(name, fields.get("id", ""), fields["data"])
            fields = {key: fields[key] for key in ("id",) if key in fields}
            fields.pop("data", None)
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data" and "data" in fields:
            value = f"{fields['data']}\n{value}"
        if name:  # else a comment
            fields[name] = value


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
