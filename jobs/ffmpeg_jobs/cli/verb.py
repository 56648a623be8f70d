"""What all verbs have in common: options, arguments, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import click

from ffmpeg_jobs.cli import finding
from ffmpeg_jobs.contract import JOB_ID_PATTERN
from ffmpeg_jobs.wire import to_json


class JobId(click.ParamType):
    """A job's id, checked before anything is asked."""

    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The id; a usage error for anything else."""
        if not re.fullmatch(JOB_ID_PATTERN, value):
            self.fail(f"{value!r} is not a job id: 12 of the characters a-z and 2-7.", param, ctx)
        return value


def verb(name: str, **more: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """A verb of ``ffmpeg-jobs``: takes the options that find the master, which its help
    leaves to that of the whole command."""

    def wrap(function: Callable[..., Any]) -> click.Command:
        make: Callable[..., click.Command] = click.command(name, **more)
        command = make(finding.options(function))
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.expose_value:
                parameter.hidden = True
        return command

    return wrap


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, as the API has it.")


def print_json(nouns: object) -> None:
    """The nouns as the API shows them."""
    click.echo(json.dumps(to_json(nouns), indent=2))
