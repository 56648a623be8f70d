"""Connections to the very address that a policy allows.

A name is resolved once, what it resolves to is checked, and the connection goes there: no name is
looked up again in between, no proxy is asked.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from ffmpeg_jobs.destination import NotAllowed, Policy

#: Of the addresses of one name so many are tried, so that a name with hundreds holds up nobody.
TRIES: Final = 4
_PORTS: Final = {"http": 80, "https": 443, "rtmp": 1935, "rtmps": 443}
#: Whatever takes a URL apart finds the same host in it: RFC 3986 without what is taken apart in
#: more than one way, as backslashes and a second @.
_AUTHORITY: Final = re.compile(
    r"(?:[^@\\\[\]/?\x00-\x20\x7f]*@)?(?:\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[^@:\\\[\]/?#%\x00-\x20\x7f]+)(?::\d*)?"
)


@dataclass(frozen=True)
class Target:
    """What a URL says of where to connect to, and as whom."""

    scheme: str
    host: str
    port: int
    path: str  #: with its query, as it is sent
    user: str | None = None
    password: str = ""

    @property
    def origin(self) -> tuple[str, str, int]:
        """Whom a secret for one may be shown to (RFC 6454)."""
        return self.scheme, self.host, self.port


def target_of(url: str) -> Target:
    """Take a URL apart. Raises ValueError, which says what is wrong, for one with no clear host."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise ValueError(f"{scheme or 'no scheme'}:// is not http, https, rtmp or rtmps")
    if not _AUTHORITY.fullmatch(parts.netloc) or not parts.hostname:
        raise ValueError("it has no clear host")
    port = parts.port or _PORTS[scheme]
    return Target(scheme, _ascii(parts.hostname), port, _path(parts), *_user(parts))


def _ascii(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("its host is no name") from None


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _user(parts: SplitResult) -> tuple[str | None, str]:
    if parts.username is None:
        return None, ""
    return unquote(parts.username), unquote(parts.password or "")


def addresses(host: str, port: int, policy: Policy) -> list[str]:
    """Those of the host that the policy allows, in the resolver's order; at least one.

    Raises NotAllowed, OSError.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    all_of_them = dict.fromkeys(str(entry[4][0]) for entry in found)
    good = [each for each in all_of_them if policy.allows(each, own=is_own(each, port))]
    if not good:
        raise NotAllowed(
            f"{host} is at {', '.join(list(all_of_them)[:TRIES])}, which is not allowed; "
            f"{policy.setting} would allow it"
        )
    return good


def is_own(address: str, port: int) -> bool:
    """Whether the machine has the address itself: what it sends there it sends from there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, port))  # of UDP: nothing is sent
            return bool(probe.getsockname()[0] == address.partition("%")[0])
    except OSError:  # there is no way there; the connection will say so
        return False


def connect(host: str, port: int, policy: Policy, timeout_seconds: float) -> socket.socket:
    """A connection to an allowed address of the host. Raises NotAllowed, OSError.

    ``timeout_seconds``: for each address, and then for each step on the connection.
    """
    trouble: OSError | None = None
    for address in addresses(host, port, policy)[:TRIES]:
        try:
            return socket.create_connection((address, port), timeout_seconds)
        except OSError as error:
            trouble = error
    raise trouble or OSError(f"{host} has no address")
