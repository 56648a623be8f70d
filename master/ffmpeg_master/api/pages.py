"""What lists have in common: their span of time, and how one page leads to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from ffmpeg_jobs import contract
from ffmpeg_jobs.problems import InvalidField
from ffmpeg_jobs.schema import unix_seconds


def following_page(
    path: str, query: Mapping[str, Any], limit: int, cursor: int | None
) -> dict[str, str]:
    """The header of a page after which one with ``cursor`` comes; None: it is the last."""
    if cursor is None:
        return {}
    # RFC 8288; relative, so that it holds behind a proxy.
    target = urlencode({**query, "limit": limit, "cursor": cursor})
    return {"Link": f'<{path}?{target}>; rel="next"'}


def moment(query: Mapping[str, Any], name: str) -> float | None:
    """The Unix time that a parameter tells. Raises InvalidField for 31 February."""
    given = query.get(name)
    try:
        return None if given is None else unix_seconds(given)
    except (ValueError, OverflowError):
        raise InvalidField.of(name, given, contract.MOMENT["description"]) from None
