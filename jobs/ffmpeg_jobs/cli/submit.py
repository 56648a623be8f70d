"""``ffmpeg-jobs submit``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TextIO

import click

from ffmpeg_jobs.cli import exits, watch
from ffmpeg_jobs.cli.connect import connect
from ffmpeg_jobs.cli.verb import JobId, json_option, print_json, verb
from ffmpeg_jobs.contract import JOB, LIMITS, PARAMETERS
from ffmpeg_jobs.problems import InvalidField, InvalidJson
from ffmpeg_jobs.scenarios import SCENARIOS
from ffmpeg_jobs.schema import parse_job


@dataclass(frozen=True)
class Field:
    """A flag that sets one field of the job."""

    flag: str
    table: str  #: "" is the job itself
    name: str
    metavar: str
    type: type = str
    words: str = ""  #: what it is for, where the name does not say it

    @property
    def place(self) -> str:
        """The field as a refusal names it."""
        return f"{self.table}.{self.name}" if self.table else self.name

    @property
    def help(self) -> str:
        """What it is for, and what it may be in the words of the contract."""
        schema = {"": JOB, "parameters": PARAMETERS, "resource_limits": LIMITS}[self.table]
        allowed = str(schema["properties"][self.name]["description"])
        words = f"{self.words}: {allowed}." if self.words else f"{allowed}."
        return words[0].upper() + words[1:]


_LENGTH = "length of the synthetic source, or where to cut the input"
FIELDS: Final = (
    Field("--scenario", "", "scenario", "NAME", words="where to start from (see below)"),
    Field("--input", "", "input", "PLACE", words="what to encode; without it a synthetic source"),
    Field("--output", "", "output", "PLACE", words="where to; without it encode and discard"),
    Field("--duration", "parameters", "duration", "SECONDS", float, _LENGTH),
    Field("--bitrate", "parameters", "bitrate", "RATE", words="of the video"),
    Field("--encoder", "parameters", "encoder", "NAME", words="of the video"),
    Field("--preset", "parameters", "preset", "NAME"),
    Field("--tune", "parameters", "tune", "NAME"),
    Field("--crf", "parameters", "crf", "N", int, "constant quality"),
    Field("--width", "parameters", "width", "PIXELS", int),
    Field("--height", "parameters", "height", "PIXELS", int),
    Field("--framerate", "parameters", "framerate", "FPS", int),
    Field("--audio-encoder", "parameters", "audio_encoder", "NAME"),
    Field("--audio-bitrate", "parameters", "audio_bitrate", "RATE"),
    Field("--format", "parameters", "format", "NAME", words="container, else by --output"),
    Field("--cpu", "resource_limits", "max_cpu_percent", "PERCENT", int, "most CPU time"),
    Field("--memory", "resource_limits", "max_memory_mb", "MB", int, "most memory"),
    Field("--disk", "resource_limits", "max_disk_mb", "MB", int, "most disk"),
    Field("--timeout", "resource_limits", "timeout_sec", "SECONDS", int, "ended after"),
    Field("--queue", "", "queue", "NAME"),
    Field("--priority", "", "priority", "NAME", words="inside the queue"),
    Field("--not-before", "", "not_before", "TIME", words="it does not start earlier"),
    Field("--deadline", "", "deadline", "TIME", words="it does not start later"),
    Field("--group", "", "group", "NAME", words="of jobs with one progress"),
    Field("--callback-url", "", "callback_url", "URL", words="told of start and end"),
    Field("--max-attempts", "", "max_attempts", "N", int, "tries when worker or network fail"),
)

_EPILOG = (
    """\b
Examples:
  ffmpeg-jobs submit job.json
  jq -n '{scenario: "preview", input: "/srv/in.mp4"}' | ffmpeg-jobs submit -
  ffmpeg-jobs submit --scenario 1080p-h264 --input https://media.example/in.mp4 \\
      --output /srv/out.mp4 --cpu 200 --memory 2048 --watch
  id=$(ffmpeg-jobs submit --duration 30 --encoder libx264)   # a synthetic load
  ffmpeg-jobs submit --scenario preview --input /srv/out.mp4 --depends-on "$id"

\b
Scenarios:
"""
    + "\n".join(f"  {name:<19} {scenario.summary}" for name, scenario in SCENARIOS.items())
    + "\n\n"
    + exits.table()
)


def _fields(command: Callable[..., Any]) -> Callable[..., Any]:
    for row in reversed(FIELDS):
        option = click.option(row.flag, row.name, metavar=row.metavar, type=row.type, help=row.help)
        command = option(command)
    return command


@verb("submit", epilog=_EPILOG)
@click.argument("file", metavar="[FILE]", type=click.File(encoding="utf-8"), required=False)
@_fields
@click.option(
    "--label", "labels", metavar="NAME=TEXT", multiple=True, help="Set a label; may be repeated."
)
@click.option(
    "--worker-label",
    "worker_labels",
    metavar="NAME=TEXT",
    multiple=True,
    help="Run only on a worker with this label; may be repeated.",
)
@click.option(
    "--depends-on",
    metavar="ID",
    multiple=True,
    type=JobId(),
    help="Start when this job has completed, end if it does not; may be repeated.",
)
@click.option(
    "--overwrite/--no-overwrite",
    default=None,
    help="Whether a file that is at the output's place already is replaced.",
)
@click.option(
    "--require-enforcement/--no-require-enforcement",
    default=None,
    help="Whether to run only where the kernel enforces the limits.",
)
@click.option(
    "--idempotency-key",
    metavar="TEXT",
    help="Submit at most once: a repeat with the same text is the same job.",
)
@click.option("--watch", "then_watch", is_flag=True, help="Go on to watch the job.")
@json_option
@click.pass_context
def command_submit(
    context: click.Context,
    /,
    *,
    file: TextIO | None,
    labels: tuple[str, ...],
    worker_labels: tuple[str, ...],
    depends_on: tuple[str, ...],
    idempotency_key: str | None,
    then_watch: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Submit a job and print its id.

    The job comes from FILE (JSON; - is the standard input), from flags, or from both: flags are
    laid over the file. It is checked before it is sent. The id alone is printed on the standard
    output, all else on the standard error.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    if file is None and not given:
        raise click.UsageError("Give a FILE, or flags such as --scenario and --input.", context)
    job = laid_over(_read(file) if file else {}, given, _labels(labels))
    if worker_labels and isinstance(job.get("worker_labels", {}), dict):
        asked = _labels(worker_labels, "--worker-label")
        job["worker_labels"] = {**job.get("worker_labels", {}), **asked}
    if depends_on:
        job["depends_on"] = list(depends_on)
    _check(job, given)
    client = connect(context)
    status = client.submit(job, idempotency_key)
    if not as_json:
        click.echo(status.id)
    if then_watch:
        status = watch.follow(client, status.id, sys.stderr)
    elif not as_json:
        click.echo(f"{status.state.value}; to watch it: ffmpeg-jobs watch {status.id}", err=True)
    if as_json:
        print_json(status)
    context.exit(exits.of_job(status) if then_watch else exits.Exit.DONE)


def _read(file: TextIO) -> dict[str, Any]:
    try:
        job = json.load(file)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"{file.name}: not JSON: {error}") from None
    if not isinstance(job, dict):
        raise InvalidJson(f"{file.name}: a job is an object, this is {type(job).__name__}")
    return job


def _labels(pairs: tuple[str, ...], flag: str = "--label") -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise click.BadParameter(f"{pair!r} is not NAME=TEXT.", param_hint=flag)
    return dict(pair.split("=", 1) for pair in pairs)


def laid_over(
    job: Mapping[str, Any], flags: Mapping[str, Any], labels: Mapping[str, str]
) -> dict[str, Any]:
    """The job of a file with flags (by name of field) and labels over it."""
    result = dict(job)
    tables = {row.name: row.table for row in FIELDS}
    for name, value in flags.items():
        table = tables.get(name, "")
        if not table:
            result[name] = value
        elif isinstance(result.get(table, {}), dict):  # else the check names it
            result[table] = {**result.get(table, {}), name: value}
    if labels and isinstance(result.get("labels", {}), dict):
        result["labels"] = {**result.get("labels", {}), **labels}
    return result


def _check(job: Mapping[str, Any], flags: Mapping[str, Any]) -> None:
    """Refuse here what the master would refuse; say which flag set it."""
    try:
        parse_job(job)
    except InvalidField as problem:
        field = problem.members["errors"][0]["field"]
        for row in FIELDS:
            if row.place == field and row.name in flags:
                problem.add_note(f"it was set by {row.flag}")
        raise
