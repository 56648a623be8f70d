"""The worker's API key, or a sentence that says where it is missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ffmpeg_jobs.settings import ConfigError

#: Where our unit's credential api-key comes from.
KEY_FILE: Final = Path("/etc/ffmpeg-worker/api-key")


def read_key(file: Path | None, environ: Mapping[str, str]) -> str:
    """The API key: from its file, or from systemd's credential (systemd.exec(5)), which our unit
    makes of KEY_FILE, or of nothing where that is not there. Raises ConfigError."""
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    if file is None and credentials is None:
        raise ConfigError("api_key_file: not set, and no systemd credential api-key was given")
    if file is None:
        file = Path(str(credentials)) / "api-key"
        if not file.exists() or not file.read_bytes().strip():
            raise ConfigError(
                f"{KEY_FILE}: not there, or empty, and api_key_file is not set; put a line with a "
                "worker's key there (ffmpeg-master keys create --role worker makes one), then "
                "systemctl restart ffmpeg-worker"
            )
    try:
        key = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"api_key_file: cannot read {file}: {error}") from None
    if not key:
        raise ConfigError(f"api_key_file: {file} is empty; a line with the key is needed")
    return key
