"""Which addresses a webhook may be sent to (pure)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

#: IPv4 in IPv6 as translators write it (RFC 6052); the last 32 bits are the IPv4 address.
_NAT64: Final = ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether ``address`` is somebody's on the internet: not this machine's, not this network's.

    What an IPv6 address carries of IPv4 has to be public too.
    """
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv4Address):
        return _is_public(found)
    inner = _carried(found)
    outer_is_public = found.ipv4_mapped is not None or _is_public(found)
    return outer_is_public and not found.is_site_local and all(map(_is_public, inner))


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved


def _carried(address: IPv6Address) -> list[IPv4Address]:
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in found if inner is not None]
