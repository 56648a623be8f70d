"""How a list leads to its next page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode


def following_page(
    path: str, query: Mapping[str, Any], limit: int, cursor: int | None
) -> dict[str, str]:
    """The header of a page after which one with ``cursor`` comes; None: it is the last."""
    if cursor is None:
        return {}
    # RFC 8288; relative, so that it holds behind a proxy.
    target = urlencode({**query, "limit": limit, "cursor": cursor})
    return {"Link": f'<{path}?{target}>; rel="next"'}
