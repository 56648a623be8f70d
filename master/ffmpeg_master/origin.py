"""Where a request comes from: its connection's address, or what a trusted proxy says (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

#: A farm's, so that each is taken apart once.
_ADDRESSES_KEPT: Final = 10_000


def origin(connected: str, forwarded_for: str | None, trusted_proxies: Sequence[str]) -> str:
    """The client's address. ``forwarded_for``: the header X-Forwarded-For.

    Its entries are believed from the right, as long as a trusted proxy wrote them; whatever
    stands further left may be the client's invention. What a socket of both families calls
    ``::ffff:10.0.0.5`` is 10.0.0.5.
    """
    address = _plain(connected)
    hops = [hop.strip() for hop in (forwarded_for or "").split(",")]
    while hops and hops[-1] and _trusted(address, trusted_proxies):
        hop = hops.pop()
        if not _is_address(hop):
            break
        address = _plain(hop)
    return address


def trusts(address: str, trusted_proxies: Sequence[str]) -> bool:
    """Whether a connection from ``address`` is a trusted proxy's."""
    return _trusted(_plain(address), trusted_proxies)


@lru_cache(_ADDRESSES_KEPT)
def _plain(address: str) -> str:
    if not _is_address(address):
        return address
    return str(getattr(ip_address(address), "ipv4_mapped", None) or address)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _trusted(address: str, proxies: Sequence[str]) -> bool:
    if not address:  # a socket of the machine's own
        return "unix" in proxies
    if not _is_address(address):
        return False
    forms: list[IPv4Address | IPv6Address] = [ip_address(address)]
    if isinstance(forms[0], IPv4Address):
        forms.append(IPv6Address(f"::ffff:{address}"))
    networks = [ip_network(proxy) for proxy in proxies if proxy != "unix"]
    return any(form in network for form in forms for network in networks)
