"""The Setting rows of master.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from ffmpeg_jobs import destination
from ffmpeg_jobs.destination import EVERYWHERE, Policy
from ffmpeg_jobs.settings import FLAG, PATH, TEXTS, ConfigError, Kind, Setting, choice, load, whole

DEFAULT_FILE: Final = Path("/etc/ffmpeg-worker/master.toml")


def _as_address(value: object) -> str:
    host, _, port = str(value).rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError
    return str(value)


def _as_networks(value: object) -> tuple[str, ...]:
    proxies = TEXTS.read(value)
    return tuple(p if p == "unix" else str(ip_network(p)) for p in proxies)


def _as_database(value: object) -> str:
    if not str(value).startswith(("sqlite:////", "postgresql://")):
        raise ValueError
    return str(value)


ADDRESS: Final = Kind('an address and a port, such as "127.0.0.1:8080" or "[::]:8080"', _as_address)
DATABASE: Final = Kind(
    'a database URL: "sqlite:////var/lib/m.db" or "postgresql://user@host/name"', _as_database
)

NETWORKS: Final = Kind(
    'a list of addresses and networks, such as ["10.0.0.5", "fd00::/8"], or "unix"', _as_networks
)


def _as_weights(value: object) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError
    pairs = [str(item).rpartition("=") for item in value]
    if not all(name and 1 <= len(weight) <= 4 and weight.isdecimal() for name, _, weight in pairs):
        raise ValueError
    return tuple((name, max(int(weight), 1)) for name, _, weight in pairs)


WEIGHTS: Final = Kind(
    'a list of names of keys with weights from 1 to 9999, such as ["web=3", "archive=1"]',
    _as_weights,
)

SETTINGS: Final = (
    Setting(
        "",
        "bind",
        ADDRESS,
        "127.0.0.1:8080",
        "where to listen when systemd hands over no socket",
        flag="--bind",
    ),
    Setting(
        "",
        "database",
        DATABASE,
        "sqlite:////var/lib/ffmpeg-master/master.db",
        "where jobs are kept; several masters may share a PostgreSQL",
        flag="--database",
        env="FFMPEG_MASTER_DATABASE",
        secret=True,  # it may hold a password
    ),
    Setting(
        "",
        "log_level",
        choice("debug", "info", "warning", "error"),
        "info",
        "what is logged",
        flag="--log-level",
    ),
    Setting(
        "",
        "trusted_proxies",
        NETWORKS,
        (),
        "whose X-Forwarded-For is believed when it names the client; others' is ignored",
    ),
    Setting(
        "",
        "connections_per_address",
        whole(1, 32768, "connections"),
        16384,
        "connections that one address (IPv6: one /64) may have open; each worker has two, those of "
        "trusted_proxies are not counted",
    ),
    Setting(
        "leases",
        "lease_seconds",
        whole(1, 3600, "seconds"),
        60,
        "a running job whose worker is silent this long is given to another; a request that nobody "
        "answers takes 30 of it, and a stream is ended 5 before its end",
    ),
    Setting(
        "leases",
        "heartbeat_seconds",
        whole(1, 600, "seconds"),
        2,
        "how often a worker with running jobs reports",
    ),
    Setting(
        "leases",
        "idle_heartbeat_seconds",
        whole(1, 600, "seconds"),
        15,
        "how often a worker without jobs reports",
    ),
    Setting(
        "retries",
        "retry_seconds",
        whole(0, 3600, "seconds"),
        5,
        "the wait before the first retry; each further one waits twice as long",
    ),
    Setting(
        "order",
        "aging_seconds",
        whole(1, 604800, "seconds"),
        600,
        "each such wait lifts a job by one priority, and by one queue at three; a job that waits "
        "so long for room on a busy machine has that room kept free",
    ),
    Setting(
        "order",
        "fair_share",
        WEIGHTS,
        (),
        "what keys get of the workers where several wait; keys that are not named have weight 1",
    ),
    Setting(
        "retention",
        "retain_days",
        whole(1, 3650, "days"),
        30,
        "how long ended jobs and their logs are kept",
    ),
    Setting(
        "retention",
        "retain_audit_days",
        whole(1, 3650, "days"),
        90,
        "how long it is kept who did what",
    ),
    Setting(
        "webhooks",
        "secret_file",
        PATH,
        None,
        "a file with what signs webhooks, whsec_ and base64 on each line; without it, a job's "
        "callback_url is refused",
    ),
    Setting(
        "webhooks",
        "allow_private",
        FLAG,
        False,
        "send webhooks also to addresses of this machine and of private networks, to any of them",
    ),
    *destination.settings("webhooks", "webhooks"),
    Setting(
        "tls",
        "tls_certificate",
        PATH,
        None,
        "a PEM file with the server's certificate and chain; serves HTTPS",
    ),
    Setting("tls", "tls_key", PATH, None, "the PEM file with its key"),
    Setting(
        "tls",
        "tls_client_ca",
        PATH,
        None,
        "a PEM file with the authority whose certificates worker keys must come with",
    ),
    Setting(
        "tls",
        "allow_plain_http",
        FLAG,
        False,
        "serve HTTP beyond this machine, where everybody in between reads keys and jobs",
    ),
)


@dataclass(frozen=True)
class Config:
    """master.toml, read and checked. Fields are the rows of SETTINGS."""

    bind: str
    database: str
    log_level: str
    trusted_proxies: tuple[str, ...]
    connections_per_address: int
    lease_seconds: int
    heartbeat_seconds: int
    idle_heartbeat_seconds: int
    retry_seconds: int
    aging_seconds: int
    fair_share: tuple[tuple[str, int], ...]
    retain_days: int
    retain_audit_days: int
    secret_file: Path | None
    allow_private: bool
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    tls_certificate: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    allow_plain_http: bool

    @property
    def webhook_policy(self) -> Policy:
        """Where webhooks may be sent."""
        setting = "[webhooks] allow or allow_private in master.toml"
        everywhere = EVERYWHERE if self.allow_private else ()
        return Policy((*everywhere, *self.allow), self.deny, setting)


def read(file: Path | None, flags: Mapping[str, Any], environ: Mapping[str, str]) -> Config:
    """The configuration. ``file`` None: the default file, which may be absent.

    Raises ConfigError.
    """
    values = load(SETTINGS, file or DEFAULT_FILE, flags, environ, needed=file is not None)
    config = Config(**values)
    _check_together(config)
    return config


def _check_together(config: Config) -> None:
    for name in ("heartbeat_seconds", "idle_heartbeat_seconds"):
        # One lost heartbeat must not cost a lease.
        if getattr(config, name) * 2 > config.lease_seconds:
            raise ConfigError(
                f"[leases] {name}: {getattr(config, name)} is more than half of lease_seconds "
                f"({config.lease_seconds}); one lost heartbeat would end a lease"
            )
    if (config.tls_certificate is None) != (config.tls_key is None):
        missing = "tls_key" if config.tls_key is None else "tls_certificate"
        raise ConfigError(f"[tls] {missing}: not set; certificate and key go together")
    if config.tls_client_ca is not None and config.tls_certificate is None:
        raise ConfigError("[tls] tls_client_ca: needs tls_certificate and tls_key")
