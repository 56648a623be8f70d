"""A policy of networks as properties of a scope, which the kernel holds the job to.

IPAddressAllow= and IPAddressDeny= in systemd.resource-control(5): BPF programs on the scope's
cgroup, which see each packet of whoever is in it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Final

from ffmpeg_jobs.destination import Network, Policy
from ffmpeg_worker.calls import ScopeError

#: The network of the whole machine: the launcher has one of its own, without any address.
NET: Final = Path("/proc/1/net")


def properties(policy: Policy, own: Iterable[str]) -> list[tuple[str, str, Any]]:
    """Properties of a scope (name, D-Bus signature, value); ``own``: the machine's addresses."""
    if policy.allows_all:
        return []
    rules = policy.rules(own)
    return [
        # Whoever asks whether packets are counted learns whether the programs are there.
        ("IPAccounting", "b", True),
        ("IPAddressAllow", "a(iayu)", [_row(net) for net in rules.allow]),
        ("IPAddressDeny", "a(iayu)", [_row(net) for net in rules.deny]),
    ]


def _row(net: Network) -> list[Any]:
    family = socket.AF_INET if net.version == 4 else socket.AF_INET6
    return [int(family), net.network_address.packed, net.prefixlen]


def own_addresses(net: Path = NET) -> list[str]:
    """All addresses of the machine, as the kernel routes to itself (proc(5)).

    Raises ScopeError.
    """
    found = []
    address = ""
    for line in _read(net / "fib_trie").splitlines():
        word = line.strip()
        if word.startswith("|--"):
            address = word.removeprefix("|--").strip()
        elif word == "/32 host LOCAL":
            found.append(address)
    six = net / "if_inet6"
    lines = _read(six).splitlines() if six.exists() else []  # a kernel without IPv6
    found += [str(IPv6Address(int(line.split()[0], 16))) for line in lines]
    return list(dict.fromkeys(found))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except OSError as error:
        raise ScopeError(f"the machine's addresses cannot be read: {error}") from None
