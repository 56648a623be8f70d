"""Where ``ffmpeg-jobs`` finds the master and its key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.cli.finding import SETTINGS, Master, find, user_file
from ffmpeg_jobs.settings import ConfigError


class Home:
    """A home directory, and a system's file that is not the real one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.system_file = directory / "etc-jobs.toml"
        self.environ = {"XDG_CONFIG_HOME": str(directory)}

    def user(self, text: str, mode: int = 0o600) -> Path:
        file = self.directory / "ffmpeg-jobs.toml"
        file.write_text(text)
        file.chmod(mode)
        return file

    def key_file(self, name: str, content: str = "", mode: int = 0o600) -> Path:
        file = self.directory / name
        file.write_text(content or f"{name}-secret\n")
        file.chmod(mode)
        return file

    def find(self, config: Path | None = None, environ: Any = None, **flags: Any) -> Master:
        return find(flags, self.environ | (environ or {}), config, self.system_file)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_each_place_goes_before_the_next(home: Home) -> None:
    home.system_file.write_text('master = "http://system"\nkey = "system-key"')
    home.system_file.chmod(0o600)
    assert (home.find().url, home.find().key) == ("http://system", "system-key")
    home.user('master = "http://user"')
    found = home.find()
    assert (found.url, found.key) == ("http://user", "system-key")
    environ = {"FFMPEG_JOBS_MASTER": "http://env", "FFMPEG_JOBS_KEY": "env-key"}
    found = home.find(environ=environ)
    assert (found.url, found.key, found.key_source) == ("http://env", "env-key", "$FFMPEG_JOBS_KEY")
    key_file = home.key_file("flag")
    found = home.find(environ=environ, master="http://flag", key_file=str(key_file))
    assert (found.url, found.url_source, found.key) == ("http://flag", "--master", "flag-secret")
    assert found.key_source == f"key file {key_file} (from --key-file)"


def test_a_config_stands_for_both_files(home: Home) -> None:
    home.user('ca = "/nonexistent"')
    config = home.directory / "other.toml"
    config.write_text('key = "k"')
    config.chmod(0o600)
    found = home.find(config)
    assert (found.key, found.url, found.url_source, found.ca) == (
        "k",
        "http://127.0.0.1:8080",
        "the default",
        None,
    )


def test_a_config_that_was_named_must_exist(home: Home) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml: no such file"):
        home.find(home.directory / "missing.toml")


def test_without_a_key_the_user_is_told_where_to_put_one(home: Home) -> None:
    with pytest.raises(ConfigError, match="no API key is set") as caught:
        home.find()
    assert "key_file in ~/.config/ffmpeg-jobs.toml" in caught.value.__notes__[0]


def test_key_and_key_file_in_one_place_are_refused(home: Home) -> None:
    home.user('key = "k"\nkey_file = "/k"')
    with pytest.raises(ConfigError, match="key_file: only one of the two may be set"):
        home.find()


@pytest.mark.parametrize("content", ["two words", "ä", "line\nline", " \n"])
def test_a_key_file_holds_one_key(home: Home, content: str) -> None:
    file = home.key_file("bad", content)
    with pytest.raises(ConfigError, match=f"key file {file} .*its content is not") as caught:
        home.find(key_file=str(file))
    assert content.strip() == "" or content not in str(caught.value)


def test_a_missing_key_file_is_named_with_who_asked_for_it(home: Home) -> None:
    config = home.user('key_file = "/nonexistent/key"')
    with pytest.raises(ConfigError) as caught:
        home.find()
    assert str(caught.value) == (
        f"key file /nonexistent/key (from {config}: key_file): No such file or directory"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_a_key_file_of_somebody_else_says_what_to_do(home: Home) -> None:
    file = home.key_file("roots", mode=0o600)
    for folder in (home.directory, *home.directory.parents[:2]):
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(ConfigError, match="Permission denied") as caught:
            home.find(key_file=str(file))
    finally:
        os.seteuid(0)
    assert "a key of your own" in caught.value.__notes__[0]


def test_files_with_a_key_that_all_can_read_are_told(home: Home) -> None:
    config = home.user('key = "k"', mode=0o644)
    assert home.find().open_files == (config,)
    home.user('key = "k"', mode=0o640)
    assert home.find().open_files == ()
    key_file = home.key_file("open", mode=0o644)
    assert home.find(key_file=str(key_file)).open_files == (key_file,)


def test_a_config_without_a_key_may_be_read_by_all(home: Home) -> None:
    home.user(f'key_file = "{home.key_file("shut")}"', mode=0o644)
    assert home.find().open_files == ()


def test_a_missing_authority_is_refused(home: Home) -> None:
    with pytest.raises(ConfigError, match=r"^--ca: /nonexistent: no such file"):
        home.find(ca="/nonexistent", environ={"FFMPEG_JOBS_KEY": "k"})


def test_a_wrong_name_in_the_file_is_refused(home: Home) -> None:
    config = home.user('server = "http://x"')
    with pytest.raises(ConfigError, match=f"^{config}: server: unknown; allowed are ca, client"):
        home.find()


def test_a_key_is_never_shown(home: Home) -> None:
    home.user('key = "a secret"')
    with pytest.raises(ConfigError) as caught:
        home.find()
    assert "a secret" not in str(caught.value)


def test_the_tilde_is_the_home_directory(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home.directory))
    home.key_file("mine")
    home.user('key_file = "~/mine"')
    assert home.find().key == "mine-secret"


def test_a_relative_config_home_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    expected = Path("/home/ann/.config/ffmpeg-jobs.toml")
    assert user_file({"XDG_CONFIG_HOME": "here"}) == expected
    assert user_file({}) == expected


def test_no_flag_takes_a_key() -> None:
    assert [row.flag for row in SETTINGS if row.secret] == [None]
