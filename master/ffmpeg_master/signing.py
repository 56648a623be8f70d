"""How a receiver of webhooks knows that they are ours (Standard Webhooks, version 1)."""

from __future__ import annotations

import base64
import binascii
import hmac
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ffmpeg_jobs.settings import ConfigError

_PREFIX: Final = "whsec_"
#: Of the secret, in bytes, as the specification has it.
_LEAST_BYTES, _MOST_BYTES = 24, 64


def read_secrets(file: Path) -> tuple[bytes, ...]:
    """The secrets in ``file``, one on each line; each signs. Raises ConfigError."""
    where = f"[webhooks] secret_file: {file}"
    try:
        if file.stat().st_mode & stat.S_IRWXO:
            raise ConfigError(f"{where}: everybody on this machine may use it; chmod o= {file}")
        lines = file.read_text(encoding="ascii").split()
        secrets = tuple(_secret(line) for line in lines)
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}") from None
    except ValueError:  # not ASCII, not base64, not of that length
        secrets = ()
    if not secrets:
        raise ConfigError(
            f"{where}: what is there is not {_PREFIX} and {_LEAST_BYTES} to {_MOST_BYTES} bytes "
            f'in base64, on each line; echo "{_PREFIX}$(openssl rand -base64 32)" makes one'
        )
    return secrets


def _secret(line: str) -> bytes:
    try:
        secret = base64.b64decode(line.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError from None
    if not line.startswith(_PREFIX) or not _LEAST_BYTES <= len(secret) <= _MOST_BYTES:
        raise ValueError
    return secret


def sign(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """What the header webhook-signature says."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    marks = (hmac.digest(secret, signed, "sha256") for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(mark).decode()}" for mark in marks)
