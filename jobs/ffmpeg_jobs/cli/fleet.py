"""``ffmpeg-jobs cordon``, ``uncordon``, ``drain``, ``undrain`` and ``remove-worker``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import click

from ffmpeg_jobs.cli import exits, words
from ffmpeg_jobs.cli.connect import connect
from ffmpeg_jobs.cli.verb import verb
from ffmpeg_jobs.problems import Conflict, InvalidField, NotFound

_NAMES = click.argument("names", metavar="WORKER...", nargs=-1, required=True)

_DRAIN_EPILOG = """\b
Examples:
  ffmpeg-jobs drain node7 --timeout 600
  ffmpeg-jobs workers
"""


@verb("cordon")
@_NAMES
@click.pass_context
def command_cordon(context: click.Context, names: tuple[str, ...]) -> None:
    """Hand out no new jobs to workers.

    Jobs that run there go on, and the worker goes on asking. It needs a key of the role admin,
    as do the other verbs for workers.
    """
    _each(context, names, partial(connect(context).ask_worker, verb="cordon"), "cordoned")


@verb("uncordon")
@_NAMES
@click.pass_context
def command_uncordon(context: click.Context, names: tuple[str, ...]) -> None:
    """Hand out jobs to workers again."""
    _each(context, names, partial(connect(context).ask_worker, verb="uncordon"), "uncordoned")


@verb("drain", epilog=_DRAIN_EPILOG)
@_NAMES
@click.option(
    "--timeout",
    "timeout_seconds",
    metavar="SECONDS",
    type=click.IntRange(0, 604800),
    help="Give back what still runs then; without it, jobs run to their end.",
)
@click.pass_context
def command_drain(
    context: click.Context, names: tuple[str, ...], timeout_seconds: int | None
) -> None:
    """Empty workers: no new jobs, and those that run go on or are given back.

    The master tells each worker with its next heartbeat. Jobs that are given back run elsewhere
    and lose no try by it. A drain lasts over restarts, until `ffmpeg-jobs undrain`. On the
    machine itself, `ffmpeg-worker drain` does the same.
    """
    ask = partial(connect(context).drain, timeout_seconds=timeout_seconds)
    _each(context, names, ask, "draining")


@verb("undrain")
@_NAMES
@click.pass_context
def command_undrain(context: click.Context, names: tuple[str, ...]) -> None:
    """Have drained workers take jobs again.

    What was asked on the machine itself is taken back there: `ffmpeg-worker undrain`.
    """
    _each(context, names, partial(connect(context).ask_worker, verb="undrain"), "undrained")


@verb("remove-worker")
@_NAMES
@click.pass_context
def command_remove_worker(context: click.Context, names: tuple[str, ...]) -> None:
    """Forget workers that are gone.

    Refused while a worker is online or holds jobs. One that starts again registers anew.
    """
    _each(context, names, connect(context).remove_worker, "removed")


def _each(
    context: click.Context, names: tuple[str, ...], ask: Callable[[str], None], done: str
) -> None:
    """Every worker is tried; those that are refused are named, and the exit status is then 1."""
    status = exits.Exit.DONE
    for name in names:
        try:
            ask(name)
        except (NotFound, Conflict, InvalidField) as problem:
            words.complain(str(problem))
            status = exits.of_refusal(problem)
        else:
            click.echo(f"{name} {done}")
    context.exit(status)
