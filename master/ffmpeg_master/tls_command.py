"""``ffmpeg-master init-tls``: a private authority and the server's certificate, by openssl(1)."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from ffmpeg_jobs.settings import ConfigError

_DIRECTORY: Final = Path("/etc/ffmpeg-worker/tls")
_DAYS: Final = 825  #: what browsers and Apple's clients take at most of private authorities
_CA_DAYS: Final = 3650
_OPENSSL_SECONDS: Final = 60

_CONFIG: Final = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[ca]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {names}
[client]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectAltName = {names}
"""

_NEXT: Final = """\
made in {directory}: ca.pem, ca.key, server.pem, server.key
next:
  1. in /etc/ffmpeg-worker/master.toml, under [tls]:
       tls_certificate = "{directory}/server.pem"
       tls_key = "{directory}/server.key"
  2. systemctl edit ffmpeg-master.socket
       [Socket]
       ListenStream=
       ListenStream=[::]:8080
     then: systemctl restart ffmpeg-master.socket ffmpeg-master
  3. copy {directory}/ca.pem (never ca.key) to the workers and users, who set
       ca = "/etc/ffmpeg-worker/ca.pem"
       master = "https://{host}:8080"
  4. keep ca.key where nobody else reads it; renew in time: ffmpeg-master init-tls --renew
"""
_RENEWED: Final = """\
renewed: {directory}/server.pem and server.key, signed by the same authority
next: systemctl reload ffmpeg-master
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Give the command line its ``init-tls``."""
    parser = commands.add_parser("init-tls", help="make a private CA and a certificate for TLS")
    parser.add_argument(
        "--host",
        action="append",
        metavar="NAME",
        help="a name or address by which clients call the master; repeat for more "
        "(default: this machine's name, and localhost; with --renew those of the present one)",
    )
    parser.add_argument("--days", type=int, default=_DAYS, help=f"validity (default: {_DAYS})")
    parser.add_argument("--directory", type=Path, default=_DIRECTORY, help=f"not {_DIRECTORY}")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--renew", action="store_true", help="a new certificate of the same CA")
    kind.add_argument(
        "--client", metavar="NAME", help="a certificate of the same CA for the worker NAME"
    )


def run(options: argparse.Namespace) -> int:
    """Do it; the exit status. 1: refused, with a sentence on stderr."""
    directory: Path = options.directory.absolute()
    try:
        hosts: list[str] = options.host or _hosts(directory, renew=options.renew)
        _check(options, hosts)
        if options.client:
            _sign(directory, options.client, [options.client], "client", options.days)
            words = f"made: {directory}/{options.client}.pem and {options.client}.key\n"
        elif options.renew:
            _sign(directory, "server", hosts, "server", options.days, replace=True)
            words = _RENEWED.format(directory=directory)
        else:
            _make_authority(directory)
            _sign(directory, "server", hosts, "server", options.days)
            words = _NEXT.format(directory=directory, host=hosts[0])
    except (ConfigError, OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", None) or str(error)
        sys.stderr.write(f"ffmpeg-master: init-tls: {detail.strip()}\n")
        return 1
    sys.stdout.write(words)
    return 0


def _hosts(directory: Path, *, renew: bool) -> list[str]:
    """The names for a certificate where none are given: a new one has those of the present one."""
    present = directory / "server.pem"
    if not (renew and present.exists()):
        return [socket.getfqdn(), "localhost", "127.0.0.1"]
    command = ["openssl", "x509", "-in", str(present), "-noout", "-ext", "subjectAltName"]
    shown = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=_OPENSSL_SECONDS
    ).stdout
    # "DNS:jobs.example, IP Address:192.0.2.1"
    names = re.findall(r"(?:DNS|IP Address):([^\s,]+)", shown)
    if not names:
        raise ConfigError(f"{present}: it names no host; say which: --host NAME")
    return names


def _check(options: argparse.Namespace, hosts: list[str]) -> None:
    if not 1 <= options.days <= _CA_DAYS:
        raise ConfigError(f"--days: {options.days} is not a number from 1 to {_CA_DAYS}")
    for name in [*hosts, *([options.client] if options.client else [])]:
        if not name or not all(char.isalnum() or char in ".-:*_" for char in name):
            raise ConfigError(f'"{name}" is not the name or address of a host')
    ca = options.directory / "ca.key"
    signs = options.renew or options.client
    if signs and not ca.exists():
        raise ConfigError(f"{ca}: no such file; ffmpeg-master init-tls without more makes it")
    for file in ("ca.key", "ca.pem", "server.key", "server.pem"):
        if not signs and (options.directory / file).exists():
            raise ConfigError(
                f"{options.directory / file} is there already, and clients may trust it; "
                "for a new certificate of the same authority: init-tls --renew"
            )
    if options.client and (options.directory / f"{options.client}.pem").exists():
        raise ConfigError(f"{options.directory}/{options.client}.pem is there already; remove it")


def _make_authority(directory: Path) -> None:
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    directory.chmod(0o755)  # whatever the umask: the master goes through it
    name = f"ffmpeg-master {socket.gethostname()}"
    _openssl(directory / "ca", _CONFIG.format(name=name, names="DNS:ca"), "ca", _CA_DAYS, [])
    (directory / "ca.pem").chmod(0o644)


def _sign(
    directory: Path, file: str, hosts: list[str], kind: str, days: int, *, replace: bool = False
) -> None:
    """Make ``file``.pem and ``file``.key; ``replace`` what is there, each in one step."""
    names = ", ".join(("IP:" if _is_address(host) else "DNS:") + host for host in hosts)
    signer = ["-CA", str(directory / "ca.pem"), "-CAkey", str(directory / "ca.key")]
    made = f".{file}" if replace else file
    config = _CONFIG.format(name=hosts[0][:64], names=names)
    _openssl(directory / made, config, kind, days, signer)
    for end, mode in (("key", 0o600), ("pem", 0o644)):
        path = directory / f"{made}.{end}"
        path.chmod(mode)
        if kind == "server" and os.geteuid() == 0:
            _give_to_master(path)
        path.rename(directory / f"{file}.{end}")


def _give_to_master(path: Path) -> None:
    """The master reads its key as its own account, where there is one."""
    try:
        shutil.chown(path, "ffmpeg-master", "ffmpeg-master")
    except LookupError:
        sys.stderr.write(f"there is no account ffmpeg-master: let the master read {path}\n")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _openssl(file: Path, config: str, section: str, days: int, signer: list[str]) -> None:
    """Make ``file``.key and its certificate, ``file``.pem. By the umask the key is private."""
    with tempfile.NamedTemporaryFile("w", suffix=".cnf") as settings:
        settings.write(config)
        settings.flush()
        command = ["openssl", "req", "-x509", "-config", settings.name, "-extensions", section]
        command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-sha256"]
        command += ["-days", str(days), *signer]
        command += ["-keyout", f"{file}.key"]
        command += ["-out", f"{file}.pem"]
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=_OPENSSL_SECONDS
        )
