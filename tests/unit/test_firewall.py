"""The kernel's lists of a policy, and the machine's own addresses."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from dbus_next.signature import Variant

from ffmpeg_jobs.destination import EVERYWHERE, Policy
from ffmpeg_worker.firewall import own_addresses, properties


def test_the_lists_are_what_systemd_takes() -> None:
    found = properties(Policy(("10.0.0.0/8",), ("10.1.0.0/16",)), ["192.0.2.7", "2001:db8::7"])
    rows = {name: Variant(signature, value).value for name, signature, value in found}
    allowed, denied = rows["IPAddressAllow"], rows["IPAddressDeny"]
    assert [socket.AF_INET, b"\x0a\x80\0\0", 9] in allowed
    assert [socket.AF_INET, b"\x0a\1\0\0", 16] in denied
    assert [socket.AF_INET, b"\xa9\xfe\0\0", 16] in denied
    assert [socket.AF_INET6, socket.inet_pton(socket.AF_INET6, "2001:db8::7"), 128] in denied
    assert rows["IPAccounting"] is True


def test_whoever_allows_everything_pays_for_nothing() -> None:
    assert properties(Policy(EVERYWHERE), []) == []
    assert properties(Policy(EVERYWHERE, ("10.0.0.0/8",)), []) != []


def test_this_machines_addresses() -> None:
    found = own_addresses(Path("/proc/self/net"))
    assert "127.0.0.1" in found
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("there is no other address")
        assert probe.getsockname()[0] in found


def test_a_kernel_without_ipv6(tmp_path: Path) -> None:
    trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 192.0.2.7\n        /32 host LOCAL\n"
    (tmp_path / "fib_trie").write_text(trie + "     |-- 192.0.2.255\n        /32 link BROADCAST\n")
    assert own_addresses(tmp_path) == ["192.0.2.7"]
