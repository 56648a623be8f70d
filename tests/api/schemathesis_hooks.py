"""What schemathesis is told beyond its settings."""

from __future__ import annotations

from typing import Any

import schemathesis
from requests import Response
from requests.adapters import HTTPAdapter


@schemathesis.hook  # type: ignore[misc]  # it has no types here
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    """A claim is not held open: what is asked of it differs, what it answers does not."""
    if case.path == "/claims" and isinstance(case.body, dict):
        seconds = case.body.get("wait_seconds")
        if isinstance(seconds, (int, float)) and 0 < seconds <= 50:
            case.body["wait_seconds"] = 0


_send: Any = HTTPAdapter.send


def _send_and_leave(adapter: HTTPAdapter, request: Any, **how: Any) -> Response:
    """A stream of events has no end: what it begins with is looked at."""
    response: Response = _send(adapter, request, **how | {"stream": True})
    if response.headers.get("Content-Type", "").startswith("text/event-stream"):
        response._content = next(response.iter_content(None), b"")
        response.close()
    return response


setattr(HTTPAdapter, "send", _send_and_leave)  # noqa: B010 - a method cannot be assigned
