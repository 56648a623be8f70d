"""``ffmpeg-jobs show`` and ``logs``: one job."""

from __future__ import annotations

import sys

import click

from ffmpeg_jobs.cli import details, tables, words
from ffmpeg_jobs.cli.connect import connect
from ffmpeg_jobs.cli.verb import JobId, json_option, print_json, verb


@verb("show")
@click.argument("job_id", metavar="ID", type=JobId())
@json_option
@click.pass_context
def command_show(context: click.Context, /, *, job_id: str, as_json: bool) -> None:
    """Show all there is to know about a job.

    What was asked, its limits, how far it is, what it used, what came out, why it failed, and
    the last lines of ffmpeg.
    """
    job = connect(context).job(job_id)
    if as_json:
        print_json(job)
        return
    for line in details.lines(job, words.now()):
        click.echo(words.printable(line))


@verb("attempts")
@click.argument("job_id", metavar="ID", type=JobId())
@json_option
@click.pass_context
def command_attempts(context: click.Context, /, *, job_id: str, as_json: bool) -> None:
    """Show every attempt at a job: where, how it ended, what it used.

    An attempt that was given back was not made: its worker was drained, or never began.
    """
    found = connect(context).attempts(job_id)
    if as_json:
        print_json(found)
        return
    columns = ("ATTEMPT", "STATE", "WORKER", "STARTED", "TOOK", "CPU", "PEAK", "ERROR")
    tables.print_table(columns, (details.attempt_row(attempt) for attempt in found))


@verb("logs")
@click.argument("job_id", metavar="ID", type=JobId())
@click.option(
    "--attempt",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="The log of this attempt instead of the last one's.",
)
@click.pass_context
def command_logs(context: click.Context, /, *, job_id: str, attempt: int | None) -> None:
    """Print ffmpeg's log of a job.

    A worker sends the log when an attempt ends; the middle of an endless one is left out.
    """
    log = connect(context).log(job_id, attempt)
    click.echo(words.printable(log) if sys.stdout.isatty() else log, nl=False)
