"""``ffmpeg-jobs events``: all jobs, live."""

from __future__ import annotations

import json
import time
from typing import Final

import click

from ffmpeg_jobs.cli import words
from ffmpeg_jobs.cli.connect import connect
from ffmpeg_jobs.cli.verb import verb
from ffmpeg_jobs.cli.watch import AGAIN_SECONDS, PATIENCE_SECONDS
from ffmpeg_jobs.model import JobStatus
from ffmpeg_jobs.problems import MasterUnreachable, Problem
from ffmpeg_jobs.schema import to_json

#: Jobs whose last change is known, so that it is not told again when a stream goes on.
_KNOWN_MOST: Final = 10_000

_EPILOG: Final = """\b
Examples:
  ffmpeg-jobs events
  ffmpeg-jobs events --json | jq --unbuffered -r 'select(.state == "failed") | .error'
"""


@verb("events", epilog=_EPILOG)
@click.option("--json", "as_json", is_flag=True, help="One JSON object to a line.")
@click.pass_context
def command_events(context: click.Context, /, *, as_json: bool) -> None:
    """Tell each change of any job as it happens.

    Ends with Ctrl-C. While the master restarts it waits, and then goes on where it was; a change
    may then be told twice. Of a job that changes several times within a moment, the last is told.
    """
    client = connect(context)
    told: str | None = None
    heard_at: float | None = None
    known: dict[str, str] = {}
    while True:
        try:
            for at, job in client.all_changes(told):
                told, heard_at = at, time.monotonic()
                if job is not None and _is_new(job, known):
                    click.echo(json.dumps(to_json(job)) if as_json else _line(job))
            heard_at = time.monotonic()  # it ends from time to time
        except (MasterUnreachable, Problem) as error:
            passing = isinstance(error, MasterUnreachable) or error.status >= 500
            late = heard_at is None or time.monotonic() - heard_at > PATIENCE_SECONDS
            if not passing or late:
                raise
        time.sleep(AGAIN_SECONDS)


def _is_new(job: JobStatus, known: dict[str, str]) -> bool:
    """Whether it changed since it was told last, as far as that is known; now it is known."""
    before = known.pop(job.id, None)
    known[job.id] = job.updated_at
    if len(known) > _KNOWN_MOST:
        del known[next(iter(known))]
    return before != job.updated_at


def _line(job: JobStatus) -> str:
    parts = (f"{job.id} {words.state(job)}", job.worker and f"on {job.worker}", words.percent(job))
    return words.printable(", ".join(part for part in parts if part))
