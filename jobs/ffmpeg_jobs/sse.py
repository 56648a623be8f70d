"""Server-Sent Events as they come in (WHATWG HTML, section 9.2.6) (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One event: what kind, which one, and its data."""

    name: str = "message"
    id: str = ""
    data: str | None = None  #: None: it is no event, and only says from which id to go on


def events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The events of a stream that comes in pieces; what is cut off at its end is none."""
    last_id = ""
    fields: dict[str, str] = {}
    for line in _lines(chunks):
        if not line:
            last_id = fields.get("id", last_id)
            if "data" in fields:
                yield Event(fields.get("event", "message"), last_id, fields["data"])
            elif "id" in fields:
                yield Event(id=last_id)
            fields = {}
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
