"""Where connections may go."""

from __future__ import annotations

import ipaddress
import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from ffmpeg_jobs.destination import EVERYWHERE, NotAllowed, Policy, is_public
from ffmpeg_jobs.dialing import addresses, connect, is_own, target_of
from ffmpeg_worker.firewall import own_addresses

PUBLIC = ("93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::93.184.216.34")
INSIDE = (
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.5", "172.16.0.1", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1"),
    *("168.63.129.16", "192.0.0.192", "198.18.0.1", "192.0.2.1"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "fec0::1", "ff02::1", "ff0e::1"),
    *("fd00:ec2::254", "2001::1", "2001:db8::1", "4000::1", "100::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.5", "::ffff:169.254.169.254", "::ffff:0.0.0.0"),
    *("::127.0.0.1", "64:ff9b::10.0.0.5", "64:ff9b::127.0.0.1", "64:ff9b:1::10.0.0.5"),
    *("2002:0a00:0005::1", "2002:7f00:0001::1", "64:ff9b::168.63.129.16"),
)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", INSIDE)
def test_not_inside(address: str) -> None:
    assert not is_public(address)


def test_pythons_own_table_calls_nothing_inside_that_we_call_public() -> None:
    """At both ends of each of its networks."""
    tables = (ipaddress._IPv4Constants, ipaddress._IPv6Constants)  # type: ignore[attr-defined]  # its own
    networks = [net for table in tables for net in table._private_networks]
    edges = [str(net[place]) for net in networks for place in (0, -1)]
    assert [edge for edge in edges if is_public(edge)] == []


def test_the_machine_knows_its_own_addresses() -> None:
    own = own_addresses(Path("/proc/self/net"))
    reached = [each for each in own if each.count(".") == 3 and not each.startswith("127.")]
    assert all(is_own(each, 9) for each in (*reached, "127.0.0.1"))
    assert not is_own("93.184.216.34", 9)


@pytest.mark.parametrize(
    ("allow", "deny", "address", "good"),
    [
        (["10.0.0.0/8"], [], "10.1.2.3", True),
        (["10.0.0.0/8"], [], "::ffff:10.1.2.3", True),
        (["10.0.0.0/8"], [], "64:ff9b::10.1.2.3", True),
        (["10.0.0.0/8"], [], "192.168.0.1", False),
        (["10.0.0.0/8"], ["10.1.0.0/16"], "10.1.2.3", False),
        (["10.0.0.0/8", "10.1.2.3/32"], ["10.1.0.0/16"], "10.1.2.3", True),
        (["10.0.0.0/8"], ["10.0.0.0/8"], "10.1.2.3", False),
        ([], ["93.184.216.0/24"], "93.184.216.34", False),
        ([], ["93.184.216.0/24"], "64:ff9b::93.184.216.34", False),
        ([], ["93.184.216.0/24"], "2002:5db8:d822::1", False),
        (["93.184.216.34/32"], list(EVERYWHERE), "93.184.216.34", True),
        (["93.184.216.34/32"], list(EVERYWHERE), "93.184.216.35", False),
        (list(EVERYWHERE), [], "169.254.169.254", True),
        (list(EVERYWHERE), ["169.254.0.0/16"], "169.254.169.254", False),
        (["fd00::/8"], [], "fd00:ec2::254", True),
    ],
)
def test_what_the_operator_says(
    allow: list[str], deny: list[str], address: str, *, good: bool
) -> None:
    policy = Policy(tuple(allow), tuple(deny))
    assert policy.allows(address) is good
    assert by_kernel(policy, address) is good


def by_kernel(policy: Policy, address: str) -> bool:
    """As systemd.resource-control(5) says of IPAddressAllow= and IPAddressDeny=."""
    rules, found = policy.rules(), ip_address(address)
    found = getattr(found, "ipv4_mapped", None) or found
    if any(found in net for net in rules.allow):
        return True
    return not any(found in net for net in rules.deny)


@pytest.mark.parametrize("address", [*PUBLIC, *(each for each in INSIDE if "%" not in each)])
def test_the_kernel_is_told_the_same(address: str) -> None:
    assert by_kernel(Policy(), address) is is_public(address)


def test_the_machines_own_addresses_are_not_public() -> None:
    rules = Policy().rules(own=["93.184.216.34", "2606:4700::1111"])
    assert {"93.184.216.34/32", "2606:4700::1111/128"} <= set(map(str, rules.deny))
    assert not Policy().allows("93.184.216.34", own=True)
    assert Policy(("93.184.216.0/24",)).allows("93.184.216.34", own=True)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0"),
        *("::ffff:127.0.0.1", "::1", "::"),
    ],
)
def test_however_it_is_spelt(host: str) -> None:
    with pytest.raises(NotAllowed, match=rf"{host} is at .*\[network\] allow would allow it"):
        connect(host, 80, Policy(), 1)


def test_of_several_addresses_an_allowed_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(socket.AF_INET, 0, 0, "", (a, 80)) for a in ("10.0.0.5", "93.184.216.34")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: answers)
    assert addresses("two.example", 80, Policy()) == ["93.184.216.34"]
    assert addresses("two.example", 80, Policy(("10.0.0.5/32",))) == ["10.0.0.5", "93.184.216.34"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:7001\\@93.184.216.34/x",
        "http://a@b@c/",
        "http://[::1/a",
        "http:///a",
        "http://a b/",
        "http://h:99999/",
        "http://%31/",
        "ftp://h/",
        "//h/",
        "http://h[x]/",
    ],
)
def test_a_url_that_may_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        target_of(url)


def test_a_url_taken_apart() -> None:
    found = target_of("https://me:p%40w@H.example:8443/b/c.mp4?k=1")
    assert (found.host, found.port, found.path) == ("h.example", 8443, "/b/c.mp4?k=1")
    assert (found.user, found.password) == ("me", "p@w")
    assert target_of("rtmp://[2606:4700::1]/live/key").origin == ("rtmp", "2606:4700::1", 1935)
    assert target_of("http://b\u00fccher.example").host == "xn--bcher-kva.example"
