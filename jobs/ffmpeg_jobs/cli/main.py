"""The command itself: its verbs, and how it ends."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from typing import Any, Final

import click

from ffmpeg_jobs import __version__
from ffmpeg_jobs.cli import exits, finding
from ffmpeg_jobs.cli.words import complain
from ffmpeg_jobs.problems import Forbidden, MasterUnreachable, MasterUntrusted, Unauthorized

#: Verb, the module that holds it as ``command_VERB``, and what it does. A module is imported
#: when its verb is asked for: requests and rich take longer than the whole rest.
VERBS: Final = {
    "submit": ("submit", "Submit a job and print its id."),
    "list": ("listing", "List jobs, newest first."),
    "show": ("look", "Show all there is to know about a job."),
    "attempts": ("look", "Show every attempt at a job: where, how it ended, what it used."),
    "watch": ("watch", "Watch a job until it ends."),
    "group": ("group", "Show how far a group of jobs is."),
    "set-limits": ("live", "Change the limits of a job."),
    "pause": ("live", "Have running jobs stand still, without losing work."),
    "resume": ("live", "Have paused jobs go on where they were."),
    "cancel": ("cancel", "Ask for the end of jobs."),
    "retry": ("live", "Queue jobs again that failed or were canceled."),
    "logs": ("look", "Print ffmpeg's log of a job."),
    "events": ("events", "Tell each change of any job as it happens."),
    "workers": ("listing", "List the workers and what they have."),
    "cordon": ("fleet", "Hand out no new jobs to workers."),
    "uncordon": ("fleet", "Hand out jobs to workers again."),
    "drain": ("fleet", "Empty workers: no new jobs, and those that run go on or are given back."),
    "undrain": ("fleet", "Have drained workers take jobs again."),
    "remove-worker": ("fleet", "Forget workers that are gone."),
    "simulate": ("simulate", "Try how much a master bears, with workers that run nothing."),
    "audit": ("audit", "List who did what, newest first."),
}

_EPILOG = """\b
Examples:
  id=$(ffmpeg-jobs submit --scenario preview --input /srv/in.mp4 --output /srv/out.mp4)
  ffmpeg-jobs watch "$id"
  ffmpeg-jobs list --state failed

The options above may also stand after the verb. A file holds the same names, as in
master = "https://master.example:8080" and key_file = "~/.ffmpeg-jobs.key".
"""


class Verbs(click.Group):
    """A group whose verbs are imported late, and that ends without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order in which a job meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb; None: there is no such verb."""
        if cmd_name not in VERBS:
            return None
        module = import_module(f"ffmpeg_jobs.cli.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, f"command_{cmd_name.replace('-', '_')}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs for ``--help``, without importing one."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, words) for name, (_, words) in VERBS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; what is refused becomes a sentence, hints and an exit status."""
        try:
            return super().invoke(ctx)
        except exits.Refusal as error:
            complain(str(error), *getattr(error, "__notes__", ()), *_hints(error, ctx))
            ctx.exit(exits.of_refusal(error))
        except KeyboardInterrupt:
            click.echo("", err=True)
            ctx.exit(exits.Exit.INTERRUPTED)


def _hints(error: BaseException, context: click.Context) -> list[str]:
    """What the user can do about it."""
    master: finding.Master | None = context.meta.get(finding.MASTER)
    if master is None:
        return []
    if isinstance(error, (Unauthorized, Forbidden)):
        return [f"the key came from {master.key_source}, for the master at {master.url}"]
    if isinstance(error, MasterUntrusted):
        return ["name the authority that signed its certificate: --ca PATH"]
    if isinstance(error, MasterUnreachable):
        return [f"{master.url} came from {master.url_source}; does ffmpeg-master run there?"]
    return []


@click.group(
    cls=Verbs,
    epilog=_EPILOG,
    subcommand_metavar="VERB [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@finding.options
@click.version_option(__version__, prog_name="ffmpeg-jobs", message="%(prog)s %(version)s")
@click.pass_context
def command(context: click.Context) -> None:
    """Submit jobs to ffmpeg-master and see what becomes of them."""
    if os.environ.get("NO_COLOR"):  # https://no-color.org
        context.color = False


def main() -> None:
    """The entry point of ``ffmpeg-jobs``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a label may hold what the terminal cannot show
    command(prog_name="ffmpeg-jobs")


if __name__ == "__main__":
    main()
