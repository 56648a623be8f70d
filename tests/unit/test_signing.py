"""The signature is that of the Standard Webhooks specification."""

from __future__ import annotations

from pathlib import Path

import pytest

from ffmpeg_jobs.settings import ConfigError
from ffmpeg_master import signing

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.touch(0o600)
    return file


def test_it_is_that_of_the_reference(file: Path) -> None:
    # Made with: printf '%s' 'msg_27UH4WbU6Z5A5EzD8u03UvzRbpk.1649367553.{"test": 2432232314}' |
    #     openssl dgst -sha256 -mac HMAC -macopt hexkey:... -binary | base64
    file.write_text(SECRET + "\n")
    message = ("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1649367553, b'{"test": 2432232314}')
    assert (
        signing.sign(signing.read_secrets(file), *message)
        == "v1,p8JYe5t9ii43NjoHezh7Nk8cnrckGKBzDA8mmrf3gOw="
    )


def test_each_secret_signs(file: Path) -> None:
    file.write_text(f"{SECRET}\nwhsec_{'B' * 32}\n")
    secrets = signing.read_secrets(file)
    old, new = signing.sign(secrets, "msg_1", 1, b"{}").split(" ")
    assert old == signing.sign(secrets[:1], "msg_1", 1, b"{}")
    assert new == signing.sign(secrets[1:], "msg_1", 1, b"{}") != old


@pytest.mark.parametrize(
    "text", ["", "\n", "secret", "whsec_", "whsec_AAAA", SECRET[6:], "whsec_é", SECRET + "!"]
)
def test_what_is_no_secret_is_refused_and_not_shown(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="openssl rand") as refused:
        signing.read_secrets(file)
    assert text.strip() in ("", "secret", "whsec_") or text not in str(refused.value)


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644])
def test_a_secret_that_everybody_has_is_none(file: Path, mode: int) -> None:
    file.write_text(SECRET)
    file.chmod(mode)
    with pytest.raises(ConfigError, match="everybody on this machine may use it; chmod o= "):
        signing.read_secrets(file)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"secret_file: .*/none: No such file or directory"):
        signing.read_secrets(tmp_path / "none")
