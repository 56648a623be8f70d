"""TLS of the server: whether it can be served as configured, and whether it may do without."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from ffmpeg_jobs.settings import ConfigError
from ffmpeg_master.config import Config

_FIRST_DESCRIPTOR: Final = 3  #: of those that systemd hands over (sd_listen_fds(3))


def check(config: Config, opened: Sequence[socket.socket] | None = None) -> None:
    """Raises ConfigError for files that make no TLS, and for plain HTTP beyond this machine.

    ``opened``: where it listens; None: nowhere yet, the configuration and systemd say where.
    """
    if make_context(config) is None and not config.allow_plain_http:
        where = "a socket that is open"
        _refuse_plain_http(_addresses(config) if opened is None else _names(opened, where))


def make_context(config: Config) -> ssl.SSLContext | None:
    """The files as they are now, for connections to come; None: plain HTTP. Raises ConfigError."""
    if config.tls_certificate is None or config.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_certificate, config.tls_key, password=_no_password)
    except (OSError, ValueError) as error:
        both = f"{config.tls_certificate} with {config.tls_key}"
        raise ConfigError(f"[tls] tls_certificate: {both}: {_words(error)}") from None
    if config.tls_client_ca is None:
        return context
    # Optional here: people have none. The API asks worker keys for one.
    context.verify_mode = ssl.CERT_OPTIONAL
    try:
        context.load_verify_locations(config.tls_client_ca)
    except (OSError, ValueError) as error:
        raise ConfigError(f"[tls] tls_client_ca: {config.tls_client_ca}: {_words(error)}") from None
    return context


def _no_password() -> str:
    raise ValueError("the key has a password; the service cannot know it")


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"is no PEM certificate with its key ({error.reason or error})"
    return getattr(error, "strerror", None) or str(error)


def showed_certificate(sock: socket.socket | None) -> bool:
    """Whether the client at ``sock`` has a certificate that the handshake verified."""
    ask = getattr(sock, "getpeercert", None)
    return ask is not None and bool(ask())


def _refuse_plain_http(addresses: list[tuple[str, str]]) -> None:
    for address, source in addresses:
        if not _is_loopback(address):
            raise ConfigError(
                f"{source}: {address} is not of this machine alone, and everybody in between "
                "would read keys and jobs: set [tls] tls_certificate and tls_key (ffmpeg-master "
                "init-tls makes them), or [tls] allow_plain_http = true"
            )


def _addresses(config: Config) -> list[tuple[str, str]]:
    """The hosts where it listens, and who said so."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        host = config.bind.rpartition(":")[0].strip("[]")
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ConfigError(f"bind: {host}: {error.strerror}") from None
        return [(str(entry[4][0]), "bind") for entry in found]
    numbers = range(int(os.environ.get("LISTEN_FDS", "0")))
    copies = [socket.socket(fileno=os.dup(_FIRST_DESCRIPTOR + number)) for number in numbers]
    try:
        return _names(copies, "the socket that systemd handed over")
    finally:
        for copy in copies:
            copy.close()


def _names(sockets: Sequence[socket.socket], source: str) -> list[tuple[str, str]]:
    networked = [sock for sock in sockets if sock.family in (socket.AF_INET, socket.AF_INET6)]
    return [(str(sock.getsockname()[0]), source) for sock in networked]


def _is_loopback(address: str) -> bool:
    parsed = ip_address(address.partition("%")[0])
    inner = getattr(parsed, "ipv4_mapped", None) or parsed
    return bool(inner.is_loopback)
