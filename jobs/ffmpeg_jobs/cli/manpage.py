"""The manual page ``ffmpeg-jobs(1)``, made of the command itself.

/usr/bin/python3 -m ffmpeg_jobs.cli.manpage >docs/man/ffmpeg-jobs.1
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from ffmpeg_jobs import __version__
from ffmpeg_jobs.cli import exits, finding, main
from ffmpeg_jobs.model import Reason, State
from ffmpeg_jobs.scenarios import SCENARIOS

_DESCRIPTION = """\
.B ffmpeg\\-jobs
submits jobs to an
.BR ffmpeg\\-master (8),
which hands each to one of its workers, and shows what becomes of them.
"""
_CONFIGURATION = """\
The master and the key are looked for, one by one, in the flags, the environment, the user's
file and the system's file; the first that is found counts. There is no flag for the key
itself, because every user of a machine sees the command lines of all. The files are TOML and
know these names; any other is refused:
"""
_EXAMPLE = """\
# ~/.config/ffmpeg-jobs.toml
master = "https://master.example:8080"
key_file = "~/.ffmpeg-jobs.key"
"""


def page() -> str:
    """The page, for man(7)."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f'.TH FFMPEG\\-JOBS 1 "" "ffmpeg\\-worker {__version__}" "User Commands"'
    yield ".SH NAME\nffmpeg\\-jobs \\- submit jobs to ffmpeg\\-master and follow them"
    yield ".SH SYNOPSIS\n.B ffmpeg\\-jobs\n[\\fIOPTION\\fR]... \\fIVERB\\fR [\\fIARGUMENT\\fR]..."
    yield f".SH DESCRIPTION\n{_DESCRIPTION.rstrip()}"
    yield ".SH OPTIONS\nThe options that find the master stand before or after the verb."
    yield from _options(main.command)
    yield ".SH VERBS"
    for name in main.VERBS:
        verb = main.command.get_command(click.Context(main.command), name)
        yield from _verb(verb) if verb else ()
    yield ".SH SCENARIOS\nWhat a job starts from; its own fields are laid over it."
    for name, scenario in SCENARIOS.items():
        yield _item(name, f"{scenario.summary}.")
    yield ".SH STATES\n" + _joined([state.value for state in State])
    yield "A failed job has one of the reasons\n" + _joined([reason.value for reason in Reason])
    yield ".SH EXIT STATUS"
    for status in exits.Exit:
        yield _item(str(int(status)), f"{status.sentence}.")
    yield f".SH CONFIGURATION\n{_CONFIGURATION.rstrip()}"
    for row in finding.SETTINGS:
        also = f", ${row.env}" if row.env else ""
        flag = f", {row.flag}" if row.flag else ""
        yield _item(f"{row.name}{also}{flag}", f"{row.help}: {row.kind.words}.")
    yield ".PP\nA file that holds a key should be its owner's alone:\n.BR chmod (1)\n600."
    yield _block(_EXAMPLE)
    yield ".SH ENVIRONMENT"
    for row in finding.SETTINGS:
        if row.env:
            yield _item(row.env, f"As {row.name} in the file.")
    yield _item("XDG_CONFIG_HOME", "Where the user's file is, instead of ~/.config.")
    yield _item("NO_COLOR", "Not empty: no colours.")
    yield ".SH FILES"
    yield _item(f"~/.config/{finding.USER_FILE}", "The user's own.")
    yield _item(str(finding.SYSTEM_FILE), "The system's.")
    yield '.SH "SEE ALSO"\n.BR ffmpeg (1),\n.BR ffmpeg\\-master (8),\n.BR ffmpeg\\-worker (8)'


def _verb(verb: click.Command) -> Iterator[str]:
    arguments = [p.make_metavar() for p in verb.params if isinstance(p, click.Argument)]
    yield f".SS ffmpeg\\-jobs {_text(str(verb.name))} [\\fIOPTION\\fR]... " + " ".join(
        f"\\fI{_text(argument)}\\fR" for argument in arguments
    )
    yield "\n.PP\n".join(
        _text(part.replace("\n", " ")) for part in inspect.cleandoc(verb.help or "").split("\n\n")
    )
    yield from _options(verb)
    examples = (verb.epilog or "").removeprefix("\b\n").split("\n\n\b\n")[0]
    if examples.startswith("Examples:"):
        yield ".PP\nExamples:"
        yield _block(inspect.cleandoc(examples.partition("\n")[2]))


def _options(command: click.Command) -> Iterator[str]:
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            names = ", ".join([*option.opts, *option.secondary_opts])
            metavar = "" if option.is_flag else option.make_metavar()
            value = f" \\fI{_text(metavar)}\\fR" if metavar and metavar != "BOOLEAN" else ""
            default = f" Default: {option.default}." if option.show_default else ""
            yield f".TP\n\\fB{_text(names)}\\fR{value}\n{_text((option.help or '') + default)}"
    yield f".TP\n\\fB{_text('-h, --help')}\\fR\nShow the options and leave."


def _item(term: str, words: str) -> str:
    return f".TP\n.B {_text(term)}\n{_text(words[0].upper() + words[1:])}"


def _block(text: str) -> str:
    return f".PP\n.nf\n.RS\n{_text(text.rstrip())}\n.RE\n.fi"


def _joined(names: list[str]) -> str:
    return _text(", ".join(names)) + "."


def _text(text: str) -> str:
    """``text`` as troff prints it as it is (groff_man_style(7)): minus signs, no requests."""
    for plain, troff in (("\\", "\\e"), ("-", "\\-"), ("~", "\\(ti"), ("^", "\\(ha")):
        text = text.replace(plain, troff)
    return "\n".join(f"\\&{row}" if row.startswith((".", "'")) else row for row in text.split("\n"))


if __name__ == "__main__":
    click.echo(page(), nl=False)
