"""``ffmpeg-jobs audit``."""

from __future__ import annotations

import json

import click

from ffmpeg_jobs.cli.connect import connect
from ffmpeg_jobs.cli.tables import print_table
from ffmpeg_jobs.cli.verb import JobId, json_option, print_json, verb
from ffmpeg_jobs.model import Action, AuditEntry

_COLUMNS = ("TIME", "WHO", "ROLE", "TENANT", "FROM", "ACTION", "SUBJECT", "DETAIL")
_EPILOG = """\b
Examples:
  ffmpeg-jobs audit --job k3vq7x2m5abc
  ffmpeg-jobs audit --who ann --since 2027-01-31T00:00:00Z --json
"""


@verb("audit", epilog=_EPILOG)
@click.option("--job", metavar="ID", type=JobId(), help="Only what was done to this job.")
@click.option("--worker", metavar="NAME", help="Only what was done to this worker.")
@click.option("--key", metavar="NAME", help="Only what was done to this key.")
@click.option("--tenant", metavar="NAME", help="Only what was done to this tenant's limits.")
@click.option("--who", metavar="NAME", help="Only what this key, or account, did.")
@click.option(
    "--action",
    metavar="NAME",
    type=click.Choice([action.value for action in Action]),
    help="Only this, as in job_canceled.",
)
@click.option("--since", metavar="TIME", help="Only from then on, as in 2027-01-31T18:00:00Z.")
@click.option("--until", metavar="TIME", help="Only before then.")
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
def command_audit(
    context: click.Context, /, *, limit: int, as_json: bool, **filters: str | None
) -> None:
    """List who did what, newest first.

    Each line is one thing that somebody did to a job, a worker, a key or a tenant: with which
    key, or as which account of the master's machine, and from which address. It needs a key of
    the role admin.
    """
    given = {name: value for name, value in filters.items() if value is not None}
    entries = list(connect(context).audit(limit, **given))
    if as_json:
        print_json(entries)
    else:
        print_table(_COLUMNS, [_entry(entry) for entry in entries])


def _entry(entry: AuditEntry) -> tuple[str, ...]:
    return (
        entry.at,
        entry.who,
        entry.role or "-",
        entry.tenant or "-",
        entry.address or "-",
        entry.action.value,
        entry.subject,
        " ".join(f"{name}={_value(value)}" for name, value in entry.detail.items()) or "-",
    )


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
