"""``ffmpeg-jobs simulate``: what a master bears, before machines are bought."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ffmpeg_jobs.cli.connect import connect, endpoint
from ffmpeg_jobs.cli.tables import print_table
from ffmpeg_jobs.cli.verb import json_option, print_json, verb
from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.simulation import farm
from ffmpeg_jobs.simulation.farm import Farm, Load
from ffmpeg_jobs.simulation.figures import Latency
from ffmpeg_jobs.simulation.worker import LABEL

_EPILOG = """\b
Examples:
  ffmpeg-jobs simulate --workers 200 --jobs 1000 --job-seconds 0.1
  ffmpeg-jobs simulate --workers 1000 --jobs 600 --rate 10 --job-seconds 60
  ffmpeg-jobs simulate --workers 50 --jobs 500 --json | jq .latency_seconds.start.p99
"""
#: The rows of the table.
_KINDS: Final = {
    "register": "register a worker",
    "submit": "submit a job",
    "claim": "claim a job that is there",
    "start": "from submit to start",
    "heartbeat": "heartbeat",
    "result": "tell a result",
}


@dataclass(frozen=True)
class Result:
    """What a simulation found, as ``--json`` prints it."""

    workers: int
    jobs: int
    seconds: float  #: from the first submit to the last result
    jobs_per_second: float
    requests_per_second: float
    errors: dict[str, int]
    latency_seconds: dict[str, Latency]


@verb("simulate", epilog=_EPILOG)
@click.option(
    "--workers",
    type=click.IntRange(1, 30000),
    metavar="N",
    default=100,
    show_default=True,
    help="Workers that register.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    default=1000,
    show_default=True,
    help="Jobs that are submitted.",
)
@click.option(
    "--job-seconds",
    type=click.FloatRange(0, 86400),
    metavar="SECONDS",
    default=0.1,
    show_default=True,
    help="How long a worker pretends to run a job.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0.001, 100_000),
    metavar="N",
    help="Jobs submitted a second. Without: as fast as the master accepts them.",
)
@click.option(
    "--submitters",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=4,
    show_default=True,
    help="Connections that submit jobs at the same time.",
)
@click.option(
    "--name",
    metavar="NAME",
    default=LABEL,
    show_default=True,
    help="The workers are called NAME-1, NAME-2, and so on.",
)
@json_option
@click.pass_context
def command_simulate(context: click.Context, /, *, as_json: bool, **asked: Any) -> None:
    """Try how much a master bears, with workers that run nothing.

    Workers, each with its two connections, register, wait for jobs, send heartbeats and tell of
    results through the real API, all from this one process. They run nothing: every job
    completes after --job-seconds, and nothing comes out of it.

    So do this to a master that was made for it. A master with other workers, or with jobs that
    wait or run, is refused. Besides, a simulated job asks for a label that only the workers of
    its run have, and a simulated worker is a machine that no real job fits; if one is handed
    out nevertheless, it is given back at once, and the simulation ends.

    This needs an admin key. The workers stay in the list of workers, offline, and are used again
    by the next run. This process needs CPU too: run it on another machine than the master's.
    """
    load = Load(**asked)
    client = connect(context)
    farm.refuse_others(client)
    where = endpoint(context)
    click.echo("simulated workers run nothing: every job just completes", err=True)
    result = asyncio.run(_simulate(Farm(where, load), load, client))
    if as_json:
        print_json(result)
    else:
        _print(result)


async def _simulate(workers: Farm, load: Load, client: MasterClient) -> Result:
    try:
        with _progress(load.jobs) as told:
            async with workers:
                await workers.register()
                begun, before = time.monotonic(), workers.figures.requests
                await workers.work(told)
                seconds = time.monotonic() - begun
                requests = workers.figures.requests - before
    finally:
        if workers.ended < load.jobs:
            farm.cancel(client, workers.group)
    return Result(
        load.workers,
        load.jobs,
        seconds,
        load.jobs / seconds,
        requests / seconds,
        dict(workers.figures.errors),
        workers.figures.latencies(),
    )


@contextmanager
def _progress(jobs: int) -> Iterator[Callable[[int], None]]:
    """Who is told how many jobs have ended: a bar on a terminal, elsewhere nobody."""
    if not sys.stderr.isatty():
        yield lambda _ended: None
        return
    console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")) or None)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("jobs", total=jobs)
        yield lambda ended: progress.update(task, completed=ended)


def _print(result: Result) -> None:
    rows = [
        (words, str(of.count), *map(_ms, (of.median, of.p95, of.p99, of.longest)))
        for kind, words in _KINDS.items()
        if (of := result.latency_seconds.get(kind)) is not None
    ]
    print_table(("milliseconds", "count", "median", "95 %", "99 %", "longest"), rows)
    click.echo(
        f"\n{result.jobs} jobs by {result.workers} workers in {result.seconds:.1f} s: "
        f"{result.jobs_per_second:.1f} jobs and {result.requests_per_second:.1f} requests "
        f"a second, {sum(result.errors.values())} errors"
    )
    for words, count in sorted(result.errors.items()):
        click.echo(f"{count} times: {words}")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"
