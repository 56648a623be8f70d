"""The account's own manager may go away while the worker runs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ffmpeg_worker.surroundings import check_user_bus


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "bus"


def test_a_bus_that_is_there_is_well(bus: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(bus))
        listener.listen()
        check_user_bus(os.getuid(), ask=True)


def test_one_that_went_away_ends_the_worker(bus: Path) -> None:
    """The next one is started in a namespace that has the new one."""
    with pytest.raises(ConnectionError, match=r"systemd --user went away: .*enable-linger"):
        check_user_bus(os.getuid(), ask=False)


def test_the_name_that_it_left_is_no_bus(bus: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(bus))
    check_user_bus(os.getuid(), ask=False)
    with pytest.raises(ConnectionError, match="went away"):
        check_user_bus(os.getuid(), ask=True)
