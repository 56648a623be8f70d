"""Where a worker's API key comes from, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ffmpeg_jobs.settings import ConfigError
from ffmpeg_worker.config import read_config


def key(tmp_path: Path, **environ: str) -> str:
    file = tmp_path / "worker.toml"
    file.write_text(f'manager = "none"\nstate_directory = "{tmp_path}"\n')
    return read_config(file, {}, environ).api_key


def test_a_credential_of_systemd_s_is_the_key(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("secret\n")
    assert key(tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path)) == "secret"


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_key_that_was_never_made_is_named_by_its_file(
    tmp_path: Path, content: str | None
) -> None:
    """systemd makes a line's end of a file that is not there (SetCredential= of the unit)."""
    if content is not None:
        (tmp_path / "api-key").write_text(content)
    with pytest.raises(ConfigError, match=r"^/etc/ffmpeg-worker/api-key: not there, or empty"):
        key(tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path))


def test_without_systemd_the_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^api_key_file: not set"):
        key(tmp_path)
