"""``ffmpeg-jobs list`` and ``workers``: tables."""

from __future__ import annotations

import click

from ffmpeg_jobs.cli import words
from ffmpeg_jobs.cli.connect import connect
from ffmpeg_jobs.cli.tables import print_table
from ffmpeg_jobs.cli.verb import json_option, print_json, verb
from ffmpeg_jobs.model import Free, JobStatus, Queue, State, WorkerStatus

_MIB = 1 << 20
_JOBS = ("ID", "STATE", "PROGRESS", "SCENARIO", "AGE", "WORKER")
_LIST_EPILOG = """\b
Examples:
  ffmpeg-jobs list --state running
  ffmpeg-jobs list --since 2027-01-31T18:00:00Z
  ffmpeg-jobs list --label title=42 --json | jq -r '.[0].error'
"""


@verb("list", epilog=_LIST_EPILOG)
@click.option(
    "--state", "--status", type=click.Choice([s.value for s in State]), help="Only jobs in it."
)
@click.option("--queue", type=click.Choice([q.value for q in Queue]), help="Only jobs of it.")
@click.option("--worker", metavar="NAME", help="Only jobs that it runs, or ran last.")
@click.option("--group", metavar="NAME", help="Only jobs of this group.")
@click.option("--label", metavar="NAME=TEXT", help="Only jobs with this label.")
@click.option("--since", metavar="TIME", help="Only jobs submitted then or later.")
@click.option(
    "--until", metavar="TIME", help="Only jobs submitted before, as 2027-01-31T18:00:00Z."
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    default=100,
    show_default=True,
    help="At most so many.",
)
@json_option
@click.pass_context
def command_list(
    context: click.Context, /, *, limit: int, as_json: bool, **filters: str | None
) -> None:
    """List jobs, newest first."""
    given = {name: value for name, value in filters.items() if value is not None}
    jobs = list(connect(context).jobs(limit, **given))
    if as_json:
        print_json(jobs)
    else:
        print_table(_JOBS, [_job(job) for job in jobs])


def _job(job: JobStatus) -> tuple[str, ...]:
    return (
        job.id,
        words.state(job),
        words.percent(job),
        job.job.scenario or "-",
        words.age(job.created_at, words.now()),
        job.worker or "-",
    )


_WORKERS = (
    "NAME",
    "ONLINE",
    "JOBS",
    "CPUS",
    "MEMORY",
    "DISK FREE",
    "FREE",
    "MANAGER",
    "ENFORCED",
    "HEARTBEAT",
    "HELD BACK",
)


@verb("workers")
@json_option
@click.pass_context
def command_workers(context: click.Context, /, *, as_json: bool) -> None:
    """List the workers and what they have.

    JOBS is how many run, of how many at most; FREE is CPU, memory and disk that the limits of
    those that run leave to others; MANAGER holds the jobs to their limits (system,
    user, or none); ENFORCED are the limits that the kernel enforces there; HEARTBEAT is how
    long ago the worker was last heard; HELD BACK is why it takes no new job now.
    """
    workers = connect(context).workers()
    if as_json:
        print_json(workers)
    else:
        print_table(_WORKERS, [_worker(worker) for worker in workers])


def _worker(worker: WorkerStatus) -> tuple[str, ...]:
    machine = worker.machine
    return (
        worker.name,
        "yes" if worker.online else "no",
        f"{len(worker.running)}/{machine.max_concurrent_jobs}",
        str(machine.cpus),
        words.size(machine.memory_mb * _MIB),
        words.size(machine.disk_free_mb * _MIB),
        _free(worker.free),
        machine.manager,
        ", ".join(machine.enforced) or "none",
        f"{words.age(worker.last_heartbeat_at, words.now())} ago",
        worker.held_back or _set_aside(worker) or "-",
    )


def _set_aside(worker: WorkerStatus) -> str:
    """As long as the worker has not said it itself."""
    return "draining" if worker.draining else "cordoned" if worker.cordoned else ""


def _free(free: Free | None) -> str:
    if free is None:
        return "-"
    memory, disk = words.size(free.memory_mb * _MIB), words.size(free.disk_mb * _MIB)
    return f"{free.cpu_percent} %, {memory}, {disk}"
