"""What schemathesis is told beyond its settings."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook  # type: ignore[misc]  # it has no types here
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    """A claim is not held open: what is asked of it differs, what it answers does not."""
    if case.path == "/claims" and isinstance(case.body, dict):
        seconds = case.body.get("wait_seconds")
        if isinstance(seconds, (int, float)) and 0 < seconds <= 50:
            case.body["wait_seconds"] = 0
