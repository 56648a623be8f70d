"""Attacks over HTTP, with ordinary keys or none, against a real master process; and containers that
have the packages installed, with accounts that wish them ill."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Role
from tests.api.conftest import PATIENCE_SECONDS, Outside, home, launch, start
from tests.system.conftest import container, debs, explain

__all__ = ["container", "debs", "explain", "home", "launch"]


@pytest.fixture(scope="module")
def master(home: tuple[Path, dict[Role, str]]) -> Iterator[Outside]:
    """One for all attacks of a module: each has to leave it as it was."""
    directory, secrets = home
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as sessions:
        process = start(directory, listener)
        try:
            yield Outside(process, listener, directory, secrets, sessions).ready()
        finally:
            process.kill()
            process.wait(PATIENCE_SECONDS)
