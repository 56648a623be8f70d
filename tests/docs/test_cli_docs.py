"""The manual page and the help of ``ffmpeg-jobs`` say what the command does, and no more."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from ffmpeg_jobs.cli import exits, finding, main, manpage

PAGE = Path(__file__).parents[2] / "docs/man/ffmpeg-jobs.1"
REGENERATE = "PYTHONPATH=jobs /usr/bin/python3 -m ffmpeg_jobs.cli.manpage >docs/man/ffmpeg-jobs.1"
ROOT = click.Context(main.command, help_option_names=["-h", "--help"])


def plain() -> str:
    """The page without troff's escapes."""
    text = PAGE.read_text(encoding="utf-8")
    for troff, char in (("\\-", "-"), ("\\(ti", "~"), ("\\fI", ""), ("\\fR", ""), ("\\fB", "")):
        text = text.replace(troff, char)
    return text


def section(title: str) -> str:
    return re.split(r"^\.S[HS] ", plain().split(f"{title}\n", 1)[1], flags=re.MULTILINE)[0]


def verb(name: str) -> click.Command:
    command = main.command.get_command(ROOT, name)
    assert command is not None
    return command


def options(command: click.Command) -> set[str]:
    context = click.Context(command, help_option_names=["-h", "--help"])
    return {
        name
        for option in command.get_params(context)
        if isinstance(option, click.Option) and not option.hidden
        for name in (*option.opts, *option.secondary_opts)
    }


def documented(text: str) -> set[str]:
    terms = re.findall(r"^\.TP\n(-.*)$", text, flags=re.MULTILINE)
    return {name for term in terms for name in re.findall(r"(?:^|, )(-[-a-z]+)", term)}


def test_the_page_is_what_the_command_would_write() -> None:
    assert PAGE.read_text(encoding="utf-8") == manpage.page(), f"run: {REGENERATE}"


def test_every_verb_and_no_other_has_its_part() -> None:
    parts = re.findall(r"^\.SS ffmpeg-jobs (\S+)", plain(), flags=re.MULTILINE)
    assert parts == list(main.VERBS)


@pytest.mark.parametrize("name", main.VERBS)
def test_every_option_and_no_other_is_in_the_page(name: str) -> None:
    part = re.search(
        rf"^\.SS ffmpeg-jobs {name} .*?(?=^\.S[HS])", plain(), re.MULTILINE | re.DOTALL
    )
    assert part is not None
    assert documented(part.group()) == options(verb(name))


def test_the_options_of_the_whole_command_are_in_the_page() -> None:
    assert documented(section(".SH OPTIONS")) == options(main.command)


@pytest.mark.parametrize("name", main.VERBS)
def test_a_verb_takes_the_options_that_find_the_master(name: str) -> None:
    hidden = {o for p in verb(name).params if getattr(p, "hidden", False) for o in p.opts}
    assert hidden == options(main.command) - {"--version", "-h", "--help"}


@pytest.mark.parametrize("name", main.VERBS)
def test_a_verb_is_summed_up_by_its_first_line(name: str) -> None:
    help_text = verb(name).help
    assert help_text is not None
    assert help_text.split("\n")[0] == main.VERBS[name][1]


@pytest.mark.parametrize("name", ["submit", "watch"])
def test_every_exit_status_is_in_the_help(name: str) -> None:
    text = verb(name).get_help(click.Context(verb(name), max_content_width=100))
    shown = {int(n): words for n, words in re.findall(r"^ +(\d+)  (.*)$", text, re.MULTILINE)}
    assert shown == {int(row): row.sentence for row in exits.Exit}


def test_every_exit_status_is_in_the_page() -> None:
    terms = re.findall(r"^\.B (\d+)$", section(".SH EXIT STATUS"), flags=re.MULTILINE)
    assert [int(term) for term in terms] == [int(row) for row in exits.Exit]


def test_every_setting_is_in_the_page() -> None:
    terms = re.findall(r"^\.B (\w+)", section(".SH CONFIGURATION"), flags=re.MULTILINE)
    assert terms == [row.name for row in finding.SETTINGS]


def test_the_example_file_is_one_that_works(tmp_path: Path) -> None:
    example = section(".SH CONFIGURATION").split(".RS\n")[1].split(".RE")[0]
    (tmp_path / "key").write_text("secret")
    file = tmp_path / "jobs.toml"
    file.write_text(example.replace("~/.ffmpeg-jobs.key", str(tmp_path / "key")))
    assert finding.find({}, {}, file).url == "https://master.example:8080"


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_troff_has_nothing_to_complain_about() -> None:
    run = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-z", PAGE], capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
