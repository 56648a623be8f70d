"""Many clients: one address does not take the places of all."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import replace

import pytest
import structlog

from ffmpeg_jobs.model import Role
from ffmpeg_master import config
from ffmpeg_master.crowd import Crowd
from tests.api.conftest import Launch, until
from tests.attack.raw import connect

DEFAULTS = config.read(None, {}, {})


def test_an_address_has_so_many_connections(launch: Launch) -> None:
    # One is the master's own question for its health.
    master = launch("connections_per_address = 4").ready()
    with ExitStack() as opened:
        mine = [opened.enter_context(connect(master)) for _ in range(6)]
        refused = [one for one in mine if _is_closed(one)]
        assert len(refused) >= 2
        until(lambda: "event=too_many_connections address=127.0.0.1 most=4" in master.log)
        assert master.log.count("too_many_connections") == 1
    assert until(lambda: [*master.client(Role.READ).jobs()] == [])


def _is_closed(connection: socket.socket) -> bool:
    connection.settimeout(1)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    ("addresses", "let_in"),
    [
        (["192.0.2.1"] * 3, 2),
        (["192.0.2.1", "192.0.2.2", "192.0.2.3"], 3),
        (["2001:db8::1", "2001:db8::2", "2001:db8::3"], 2),
        (["10.0.0.5"] * 9, 9),
        ([""] * 9, 9),
    ],
    ids=["one", "others", "one /64", "a trusted proxy", "a socket in the file system"],
)
def test_who_counts_as_one(addresses: list[str], let_in: int) -> None:
    crowd = Crowd(replace(DEFAULTS, connections_per_address=2, trusted_proxies=("10.0.0.0/8",)))
    for _ in range(2):  # and all have left when they have left
        with ExitStack() as here, structlog.testing.capture_logs() as log:
            places = [here.enter_context(crowd.place((a, 1) if a else a)) for a in addresses]
            assert sum(places) == let_in
            assert len(log) == (let_in < len(addresses))


def test_who_is_full_takes_nothing_from_others() -> None:
    crowd = Crowd(replace(DEFAULTS, connections_per_address=1))
    with crowd.place(("192.0.2.1", 1)), crowd.place(("192.0.2.1", 2)) as second:
        assert not second
        with crowd.place(("192.0.2.2", 1)) as other:
            assert other
    with crowd.place(("192.0.2.1", 3)) as again:
        assert again


@pytest.mark.parametrize("value", ["0", "-1", "40000", '"many"'])
def test_the_number_is_checked(launch: Launch, value: str) -> None:
    master = launch(f"connections_per_address = {value}")
    assert master.process.wait(30) == 78
    assert "connections_per_address" in master.log
