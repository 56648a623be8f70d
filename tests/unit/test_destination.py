"""Where a webhook may go."""

from __future__ import annotations

import pytest

from ffmpeg_master.destination import is_public


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34"])
def test_the_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.5", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "fec0::1", "ff02::1", "ff0e::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.5", "::ffff:169.254.169.254", "::ffff:0.0.0.0"),
        *("::127.0.0.1", "64:ff9b::10.0.0.5", "64:ff9b::127.0.0.1"),
        *("2002:0a00:0005::1", "2002:7f00:0001::1"),
    ],
)
def test_not_inside(address: str) -> None:
    assert not is_public(address)
