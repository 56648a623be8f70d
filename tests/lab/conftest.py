"""Machines for the lab's own tests: each is booted once and shared."""

import os
from collections.abc import Iterator

import pytest
from lab.base import SUITES
from lab.machine import Machine, boot


@pytest.fixture(autouse=True, scope="session")
def _root() -> None:
    if os.geteuid() != 0:
        pytest.skip("the lab mounts and makes containers: only as root")


@pytest.fixture(scope="module", params=SUITES)
def container(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with boot(request.param, "container") as machine:
        yield machine


@pytest.fixture(scope="module", params=SUITES)
def vm(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with boot(request.param, "vm") as machine:
        yield machine
