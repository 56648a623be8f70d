"""``ffmpeg-jobs cancel``."""

from __future__ import annotations

import click

from ffmpeg_jobs.cli import exits
from ffmpeg_jobs.cli.connect import connect
from ffmpeg_jobs.cli.group import line
from ffmpeg_jobs.cli.verb import JobId, verb
from ffmpeg_jobs.cli.words import complain
from ffmpeg_jobs.model import State
from ffmpeg_jobs.problems import Conflict, NotFound

_EPILOG = """\b
Examples:
  ffmpeg-jobs cancel k3vq7x2m5abc
  ffmpeg-jobs cancel --group night
  ffmpeg-jobs list --state queued --json | jq -r '.[].id' | xargs ffmpeg-jobs cancel
"""


@verb("cancel", epilog=_EPILOG)
@click.argument("ids", metavar="[ID]...", type=JobId(), nargs=-1)
@click.option("--group", metavar="NAME", help="All jobs of this group that have not ended.")
@click.pass_context
def command_cancel(context: click.Context, ids: tuple[str, ...], group: str | None) -> None:
    """Ask for the end of jobs.

    A queued job ends at once. A running one is stopped by its worker within seconds: see
    `ffmpeg-jobs watch`. Every ID is tried; those that cannot be canceled are named, and the
    exit status is then 1.
    """
    if not ids and group is None:
        raise click.UsageError("Give an ID, or --group.", context)
    client = connect(context)
    if group is not None:
        click.echo(line(client.cancel_group(group)))
    status = exits.Exit.DONE
    for job_id in ids:
        try:
            job = client.cancel(job_id)
        except (NotFound, Conflict) as problem:
            complain(str(problem))
            status = exits.of_refusal(problem)
        else:
            ended = job.state is State.CANCELED
            click.echo(f"{job_id} {'canceled' if ended else 'is being canceled'}")
    context.exit(status)
