"""``ffmpeg-jobs watch``: a job, live, until it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Final, TextIO

import click

from ffmpeg_jobs.cli import exits, words
from ffmpeg_jobs.cli.connect import connect
from ffmpeg_jobs.cli.verb import JobId, json_option, print_json, verb
from ffmpeg_jobs.cli.views import View, open_view
from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.model import FINAL_STATES, JobStatus
from ffmpeg_jobs.problems import MasterUnreachable, Problem, Unavailable

AGAIN_SECONDS: Final = 1.0  #: after a stream of events broke off
PATIENCE_SECONDS: Final = 600  #: a reboot of the master's machine, and then some

_EPILOG = """\b
Examples:
  ffmpeg-jobs watch k3vq7x2m5abc
  ffmpeg-jobs watch "$id" --json | jq .media

""" + exits.table()


def follow(
    client: MasterClient,
    job_id: str,
    stream: TextIO,
    patience_seconds: float = PATIENCE_SECONDS,
) -> JobStatus:
    """Show the job's way on ``stream`` until it ends; the job in its final state.

    Goes on while the master restarts; raises MasterUnreachable (or a Problem of status 5xx)
    when it never answered, or not for ``patience_seconds``; any other Problem at once.
    """
    view = open_view(stream)
    try:
        job = _follow(client, job_id, view, patience_seconds)
    except KeyboardInterrupt:
        view.close()
        again, end = f"ffmpeg-jobs watch {job_id}", f"ffmpeg-jobs cancel {job_id}"
        click.echo(f"\nThe job goes on. To watch it: {again}. To end it: {end}", err=True)
        click.get_current_context().exit(exits.Exit.INTERRUPTED)
    finally:
        view.close()
    click.echo(words.printable(words.ending(job)), file=stream)
    return job


def _follow(client: MasterClient, job_id: str, view: View, patience_seconds: float) -> JobStatus:
    heard_at: float | None = None
    while True:
        try:
            # First as it stands: where a proxy keeps the events back, this is what is seen.
            for job in chain(_now(client, job_id), _changes(client, job_id)):
                heard_at = time.monotonic()
                view.show(job)
                if job.state in FINAL_STATES:
                    return job
        except (MasterUnreachable, Problem) as error:
            passing = isinstance(error, MasterUnreachable) or error.status >= 500
            if not passing or heard_at is None or time.monotonic() - heard_at > patience_seconds:
                raise
            view.silent()
        time.sleep(AGAIN_SECONDS)


def _now(client: MasterClient, job_id: str) -> Iterator[JobStatus]:
    yield client.job(job_id)


def _changes(client: MasterClient, job_id: str) -> Iterator[JobStatus]:
    """Until the stream ends or breaks off; then asking how the job stands tells more."""
    with suppress(MasterUnreachable, Unavailable):
        yield from (job for _, job in client.changes(job_id))


@verb("watch", epilog=_EPILOG)
@click.argument("job_id", metavar="ID", type=JobId())
@click.option(
    "--patience",
    "patience_seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=PATIENCE_SECONDS,
    show_default=True,
    help="How long to go on while the master does not answer.",
)
@json_option
@click.pass_context
def command_watch(
    context: click.Context, /, *, job_id: str, patience_seconds: float, as_json: bool
) -> None:
    """Watch a job until it ends.

    On a terminal: a live bar with frame, speed and what is left. Elsewhere: a line per change.
    Ctrl-C leaves the job running. With --json, the job as it ended is the standard output, and
    its way is told on the standard error.
    """
    stream = sys.stderr if as_json else sys.stdout
    job = follow(connect(context), job_id, stream, patience_seconds)
    if as_json:
        print_json(job)
    context.exit(exits.of_job(job))
