"""Settings: what comes first, and how a wrong one is refused."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.settings import (
    FLAG,
    PATH,
    PATHS,
    TEXT,
    TEXTS,
    URLS,
    ConfigError,
    Setting,
    add_flags,
    choice,
    example,
    from_file,
    load,
    whole,
)

ROWS = (
    Setting("", "master", URLS, "http://localhost:1", "where", "--master", "T_MASTER"),
    Setting("", "secret", whole(1, 9, "keys"), None, "a secret", env="T_SECRET", secret=True),
    Setting("limits", "jobs", whole(1, 100, "jobs"), 4, "how many", "--jobs"),
    Setting("limits", "level", choice("low", "high"), "low", "how much"),
    Setting("paths", "root", PATH, None, "where to", "--root"),
    Setting("paths", "roots", PATHS, (), "where else"),
    Setting("paths", "names", TEXTS, ("a", "b"), "names"),
    Setting("tls", "skip", FLAG, False, "whether", "--skip"),
    Setting("tls", "title", TEXT, 'a "quoted" \\ one', "a text"),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.toml"


def read(file: Path, text: str, flags: Any = None, environ: Any = None) -> dict[str, Any]:
    file.write_text(text, encoding="utf-8")
    return load(ROWS, file, flags or {}, environ or {})


def test_a_flag_before_the_environment_before_the_file_before_the_default(file: Path) -> None:
    text = 'master = "http://file"'
    environ = {"T_MASTER": "http://env"}
    assert read(file, "")["master"] == "http://localhost:1"
    assert read(file, text)["master"] == "http://file"
    assert read(file, text, environ=environ)["master"] == "http://env"
    assert read(file, text, {"master": "http://flag"}, environ)["master"] == "http://flag"


def test_what_is_empty_is_not_set(file: Path) -> None:
    values = read(file, '[paths]\nroot = ""', environ={"T_MASTER": ""})
    assert (values["root"], values["master"]) == (None, "http://localhost:1")


@pytest.mark.parametrize(
    ("text", "place", "shown"),
    [
        ('master = "localhost"', "master", '"localhost"'),
        ('master = "https://user:pw@host"', "master", ""),
        ('master = "http://host/?q=1"', "master", ""),
        ('master = "http://host:99999"', "master", ""),
        ("[limits]\njobs = 0", "[limits] jobs", "0"),
        ("[limits]\njobs = 1.0", "[limits] jobs", "1.0"),
        ("[limits]\njobs = true", "[limits] jobs", "True"),
        ('[limits]\njobs = "1_0"', "[limits] jobs", '"1_0"'),
        ('[limits]\nlevel = "mid"', "[limits] level", '"mid"'),
        ('[paths]\nroot = "relative"', "[paths] root", '"relative"'),
        ('[paths]\nroots = ["/a", "b"]', "[paths] roots", ""),
        ("[paths]\nnames = [1]", "[paths] names", ""),
        ('[tls]\nskip = "yes"', "[tls] skip", '"yes"'),
        ('[tls]\ntitle = ""', "[tls] title", '""'),
    ],
)
def test_a_wrong_value_is_named_with_file_and_allowed(
    file: Path, text: str, place: str, shown: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file, text)
    words = next(row.kind.words for row in ROWS if row.name == place.rsplit(maxsplit=1)[-1])
    message = str(caught.value)
    assert message.startswith(f"{file}: {place}: ")
    assert shown in message
    assert message.endswith(words)


def test_a_wrong_value_is_refused_even_where_another_one_counts(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[limits\] jobs"):
        read(file, "[limits]\njobs = 0", {"jobs": "3"})


def test_a_wrong_flag_and_a_wrong_variable_are_named(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--jobs: "):
        read(file, "", {"jobs": "many"})
    with pytest.raises(ConfigError, match=r"^\$T_MASTER: "):
        read(file, "", environ={"T_MASTER": "nowhere"})


def test_a_secret_is_not_shown(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file, "secret = 12345")
    assert "12345" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mater = 1", "mater: unknown; allowed are master, secret, limits, paths, tls"),
        ("[limits]\ncpus = 1", "[limits] cpus: unknown; allowed are jobs, level"),
        ("limits = 1", "limits: 1 is not a table; write [limits]"),
        ("master = ", "x.toml: "),
        ('a = "\udcff"', "x.toml: "),
    ],
)
def test_what_cannot_be_read_is_refused(file: Path, text: str, words: str) -> None:
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError) as caught:
        load(ROWS, file, {}, {})
    assert words in str(caught.value)


def test_a_missing_file_is_an_error_where_it_is_needed(file: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(ROWS, file, {}, {})
    assert load(ROWS, file, {}, {}, needed=False)["jobs"] == 4


def test_the_example_shows_each_setting_and_holds_the_defaults(file: Path) -> None:
    text = example(ROWS, "x.toml")
    assert tomllib.loads(text) == {"limits": {}, "paths": {}, "tls": {}}
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line else line for line in text.splitlines()
    )
    found = {row.name: row.default for row in ROWS}
    assert read(file, uncommented) == found
    assert from_file(ROWS, file).keys() == {
        n for n, default in found.items() if default is not None
    }


def test_flags_reach_the_table() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, ROWS)
    given = vars(parser.parse_args(["--jobs", "7", "--skip"]))
    assert (given["jobs"], given["skip"], given["master"]) == ("7", True, None)
    assert "one of" not in parser.format_help()  # level has no flag


@pytest.mark.parametrize("value", [True, "true", "1", 1, "True"])
def test_ways_to_say_true(value: object) -> None:
    assert FLAG.read(value) is True


@pytest.mark.parametrize("value", [False, "false", "0", 0])
def test_ways_to_say_false(value: object) -> None:
    assert FLAG.read(value) is False
