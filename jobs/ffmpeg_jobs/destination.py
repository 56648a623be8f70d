"""Which addresses may be connected to: a policy of networks (pure).

Public ones, unless the operator says otherwise. What decides is the address, never a name or how
it was spelt; the kernel is told the same policy as lists (``rules``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

from ffmpeg_jobs.settings import TEXTS, Kind, Setting

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

#: IPv4 that is nobody's on the internet: the special-purpose registry of IANA (RFC 6890), multicast
#: (RFC 5771), and the address of Azure's hosts, which answers each guest for itself.
_INSIDE_4: Final = tuple(
    IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",
    )
)
#: IPv4 in IPv6 as translators write it (RFC 6052), and as 6to4 does (RFC 3056): prefix, and the
#: bits that stand before the IPv4 address.
_NAT64: Final = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_CARRIERS: Final = (_NAT64, _SIX_TO_FOUR)


def _carried_by(carrier: IPv6Network, inner: IPv4Network) -> IPv6Network:
    bits = carrier.prefixlen + inner.prefixlen
    start = int(carrier.network_address)
    start |= int(inner.network_address) << (128 - carrier.prefixlen - 32)
    return IPv6Network((start, bits))


#: IPv6 likewise: all outside of 2000::/3, which is what was given out so far, but for translated
#: IPv4; in it the special-purpose registry, Teredo among it; and what carries such IPv4.
_INSIDE_6: Final = (
    *sorted(IPv6Network("::/3").address_exclude(_NAT64)),
    *map(IPv6Network, ("4000::/2", "8000::/1")),
    *map(IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")),
    *(_carried_by(carrier, inner) for carrier in _CARRIERS for inner in _INSIDE_4),
)
_INSIDE: Final[tuple[Network, ...]] = (*_INSIDE_4, *_INSIDE_6)
EVERYWHERE: Final = ("0.0.0.0/0", "::/0")


class NotAllowed(Exception):
    """The policy forbids the address. The message says which, and what allows it."""


@dataclass(frozen=True)
class Rules:
    """A policy as a kernel's lists: what is in ``allow`` may be reached, else what is in ``deny``
    may not, else it may (IPAddressAllow= in systemd.resource-control(5))."""

    allow: tuple[Network, ...]
    deny: tuple[Network, ...]


@dataclass(frozen=True)
class Policy:
    """The narrowest network of ``allow`` and ``deny`` that holds an address decides, of two alike
    ``deny``; without any, public addresses are allowed, but not this machine's own."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    setting: str = "[network] allow"  #: where operators allow more

    def allows(self, address: str, *, own: bool = False) -> bool:
        """Whether it may be connected to; ``own``: the machine has it itself."""
        found = plain(address)
        here = [(net.prefixlen, False) for net in _networks(self.deny) if found in net]
        here += [(net.prefixlen, True) for net in _networks(self.allow) if found in net]
        if here:
            return min(here, key=lambda rule: (-rule[0], rule[1]))[1]
        return not own and not any(found in net for net in _INSIDE)

    @property
    def allows_all(self) -> bool:
        """Whether there is nothing to enforce."""
        return set(EVERYWHERE) <= set(self.allow) and not self.deny

    def rules(self, own: Iterable[str] = ()) -> Rules:
        """The same for a kernel, which does not look for the narrowest; ``own``: this machine's
        addresses."""
        denied = _networks(self.deny)
        allowed = [part for net in _networks(self.allow) for part in _without(net, denied)]
        own_networks = [ip_network(plain(address)) for address in own]
        return Rules(tuple(allowed), (*denied, *own_networks, *_INSIDE))


def is_public(address: str) -> bool:
    """Whether ``address`` is somebody's on the internet: not this machine's, not this network's.

    What an IPv6 address carries of IPv4 has to be public too.
    """
    return Policy().allows(address)


def plain(address: str) -> Address:
    """The address that packets go to: without a zone, and IPv4 as such (RFC 4291, 2.5.5.2)."""
    found = ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


@cache
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Those that are meant: of IPv4 also as IPv6 carries it."""
    found = tuple(map(ip_network, texts))
    inner = [net for net in found if isinstance(net, IPv4Network)]
    return (*found, *(_carried_by(carrier, net) for carrier in _CARRIERS for net in inner))


def _without(net: Network, denied: Iterable[Network]) -> list[Network]:
    """What is left of a network without the narrower ones that are denied, and itself if it is."""
    left = [net]
    for hole in denied:
        if hole.version == net.version and hole.subnet_of(net):  # type: ignore[arg-type]  # alike
            left = [part for old in left for part in _cut(old, hole)]
    return left


def _cut(net: Network, hole: Network) -> list[Network]:
    if net.subnet_of(hole):  # type: ignore[arg-type]  # they are of one version
        return []
    if hole.subnet_of(net):  # type: ignore[arg-type]  # as above
        return list(net.address_exclude(hole))  # type: ignore[arg-type]  # as above
    return [net]


def _as_networks(value: object) -> tuple[str, ...]:
    return tuple(str(ip_network(text)) for text in TEXTS.read(value))


NETWORKS: Final = Kind(
    'a list of addresses and networks, such as ["10.0.0.0/8", "fd00::5"]', _as_networks
)


def settings(table: str, who: str, also: str = "") -> tuple[Setting, Setting]:
    """The rows that make a policy of ``who`` in this table; ``also``: what else is to be known."""
    return (
        Setting(
            table,
            "allow",
            NETWORKS,
            (),
            f"where {who} may connect to beside public addresses; this machine, and private, "
            "link-local, shared, multicast and reserved networks have to be named; "
            f'["0.0.0.0/0", "::/0"] is everywhere{also}',
        ),
        Setting(
            table,
            "deny",
            NETWORKS,
            (),
            "where not; of networks in both lists the narrowest that holds an address decides",
        ),
    )
