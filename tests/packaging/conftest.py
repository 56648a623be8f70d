"""The built packages, and containers that have them installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.machine import Machine, boot

from tests.system.conftest import SUITES, container, debs, explain

__all__ = ["container", "debs", "explain"]


@pytest.fixture(scope="module", params=SUITES)
def installed(request: pytest.FixtureRequest, debs: list[Path]) -> Iterator[Machine]:
    """A container as apt left it."""
    with boot(request.param, "container", debs=debs) as machine:
        yield machine


@pytest.fixture(params=SUITES)
def own(request: pytest.FixtureRequest, debs: list[Path]) -> Iterator[Machine]:
    """The same for one test alone, which takes packages away."""
    with boot(request.param, "container", debs=debs) as machine:
        yield machine
