"""``ffmpeg-jobs set-limits``, ``pause``, ``resume`` and ``retry``: what changes of a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ffmpeg_jobs.cli import details, exits, words
from ffmpeg_jobs.cli.connect import connect
from ffmpeg_jobs.cli.verb import JobId, json_option, print_json, verb
from ffmpeg_jobs.contract import NEW_LIMITS
from ffmpeg_jobs.model import JobStatus, State
from ffmpeg_jobs.problems import Conflict, NotFound
from ffmpeg_jobs.schema import check

_FLAGS = {"max_cpu_percent": "--cpu", "max_memory_mb": "--memory", "timeout_sec": "--timeout"}

_LIMITS_EPILOG = """\b
Examples:
  ffmpeg-jobs set-limits k3vq7x2m5abc --cpu 400 --memory 4096
"""


def _limit(name: str, metavar: str, what: str) -> Callable[[Callable[..., Any]], Any]:
    allowed = NEW_LIMITS["properties"][name]["description"]
    return click.option(_FLAGS[name], name, metavar=metavar, type=int, help=f"{what}: {allowed}.")


@verb("set-limits", epilog=_LIMITS_EPILOG)
@click.argument("job_id", metavar="ID", type=JobId())
@_limit("max_cpu_percent", "PERCENT", "Most CPU time")
@_limit("max_memory_mb", "MB", "Most memory")
@_limit("timeout_sec", "SECONDS", "Ended after")
@json_option
@click.pass_context
def command_set_limits(
    context: click.Context, /, *, job_id: str, as_json: bool, **flags: int | None
) -> None:
    """Change the limits of a job.

    They count for this attempt and those that follow. A running job is not restarted: its
    worker has systemd change the scope within seconds, and `ffmpeg-jobs show` tells what is in
    force. If the job holds more memory than it may have from now on, the kernel takes back what
    it can, and ends the job (out_of_memory) if that is not enough.

    --timeout is refused for a running job: systemd fixes the time of a scope when it starts.
    """
    limits = {name: value for name, value in flags.items() if value is not None}
    if not limits:
        raise click.UsageError(f"Give at least one of {', '.join(_FLAGS.values())}.", context)
    check(NEW_LIMITS, limits)
    job = connect(context).set_limits(job_id, limits)
    if as_json:
        print_json(job)
        return
    click.echo(f"{job_id} {details.limits(job.job.resource_limits)}")
    if job.state is not State.QUEUED:
        click.echo(f"its worker applies them; to see it: ffmpeg-jobs show {job_id}", err=True)


@verb("pause")
@click.argument("ids", metavar="ID...", type=JobId(), nargs=-1, required=True)
@click.pass_context
def command_pause(context: click.Context, ids: tuple[str, ...]) -> None:
    """Have running jobs stand still, without losing work.

    The processes are frozen (cgroup freezer): they get no CPU, and keep their memory and their
    place on the worker. Connections stay open, but the other side may give up. The state becomes
    paused as soon as the worker's kernel says so.

    timeout_sec goes on while a job is paused, because systemd, which ends the job also when no
    worker runs, counts from the start of the scope and cannot be told to wait. A job whose
    worker is lost is tried again elsewhere, and is not paused there.

    Every ID is tried; those that cannot be paused are named, and the exit status is then 1.
    """
    _each(context, ids, connect(context).pause)


@verb("resume")
@click.argument("ids", metavar="ID...", type=JobId(), nargs=-1, required=True)
@click.pass_context
def command_resume(context: click.Context, ids: tuple[str, ...]) -> None:
    """Have paused jobs go on where they were.

    Every ID is tried; those that cannot be resumed are named, and the exit status is then 1.
    """
    _each(context, ids, connect(context).resume)


@verb("retry")
@click.argument("ids", metavar="ID...", type=JobId(), nargs=-1, required=True)
@click.pass_context
def command_retry(context: click.Context, ids: tuple[str, ...]) -> None:
    """Queue jobs again that failed or were canceled.

    A job keeps its id, and its attempts go on counting up; it has as many tries before it as
    when it was submitted. One whose deadline has passed is not queued again.

    One that ended because a job that it depends on did not complete waits for it again: retry
    that one first. A retry brings back no job that depends on it by itself.

    Every ID is tried; those that cannot be queued are named, and the exit status is then 1.
    """
    _each(context, ids, connect(context).retry)


def _each(context: click.Context, ids: tuple[str, ...], ask: Callable[[str], JobStatus]) -> None:
    status = exits.Exit.DONE
    for job_id in ids:
        try:
            job = ask(job_id)
        except (NotFound, Conflict) as problem:
            words.complain(str(problem))
            status = exits.of_refusal(problem)
        else:
            click.echo(f"{job_id} {words.state(job)}")
    context.exit(status)
