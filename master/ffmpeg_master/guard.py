"""Failed tries to show a key, limited in rate per address: a token bucket for each."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import Final

#: Failures an address may make at once, and the seconds after which it may make one more.
FAILURES_MOST: Final = 10
FAILURE_SECONDS: Final = 6.0
#: Addresses remembered; beyond that, those forgotten first that failed longest ago.
_ADDRESSES_MOST: Final = 10_000


class Guard:
    """Knows which addresses showed wrong keys lately."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paid_at: dict[str, float] = {}  #: when an address's failures are forgiven

    def wait_seconds(self, address: str) -> int:
        """How long the address has to wait before its next try; 0: it need not."""
        if not self._paid_at:  # as mostly
            return 0
        over = self._paid_at.get(house(address), 0.0) - self._clock()
        return max(0, ceil(over - (FAILURES_MOST - 1) * FAILURE_SECONDS))

    def failed(self, address: str) -> None:
        """The address showed a key that is none."""
        home, now = house(address), self._clock()
        # Taken out and put back: the dict keeps the order of the last failures.
        owed = max(now, self._paid_at.pop(home, now))
        self._paid_at[home] = owed + FAILURE_SECONDS
        if len(self._paid_at) > _ADDRESSES_MOST:
            self._paid_at.pop(next(iter(self._paid_at)))


def house(address: str) -> str:
    """Of IPv6 the /64: whoever has one address of it has all (RFC 6177)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or int(parsed) >> 64)
