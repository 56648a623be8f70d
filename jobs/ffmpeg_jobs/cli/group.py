"""``ffmpeg-jobs group``: many jobs, one progress."""

from __future__ import annotations

from typing import Final

import click

from ffmpeg_jobs.cli.connect import connect
from ffmpeg_jobs.cli.verb import json_option, print_json, verb
from ffmpeg_jobs.model import Group

_BAR_CHARS: Final = 30

_EPILOG = """\b
Examples:
  ffmpeg-jobs submit --scenario preview --input /srv/1.mp4 --group night
  ffmpeg-jobs group night
  ffmpeg-jobs list --group night --state failed
  ffmpeg-jobs cancel --group night
"""


def line(group: Group) -> str:
    """A group's bar, and how many jobs are in each state."""
    done = int(group.percent / 100 * _BAR_CHARS)
    bar = "#" * done + "-" * (_BAR_CHARS - done)
    counts = ", ".join(f"{count} {state}" for state, count in group.states.items() if count)
    return f"{group.name} [{bar}] {group.percent:.1f} % of {group.jobs} jobs: {counts}"


@verb("group", epilog=_EPILOG)
@click.argument("name", metavar="NAME")
@json_option
@click.pass_context
def command_group(context: click.Context, /, *, name: str, as_json: bool) -> None:
    """Show how far a group of jobs is.

    The progress is the mean over its jobs: one that ended, however it did, counts 100 percent,
    one that runs as much as it has done, one that waits nothing. Long jobs count as much as
    short ones, because how long a job takes is not known before.
    """
    group = connect(context).group(name)
    if as_json:
        print_json(group)
    else:
        click.echo(line(group))
