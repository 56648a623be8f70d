"""A farm of each test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.handout.farm import Farm, opened


@pytest.fixture
def farm(url: str, engine: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Farm]:
    """One master; on PostgreSQL two."""
    with opened(url, masters=2 if engine == "postgresql" else 1) as one:
        one.stage.patch(monkeypatch)
        yield one
