"""The master that the user means, as the command line tells of it, and a client of it."""

from __future__ import annotations

import click
import urllib3

from ffmpeg_jobs.cli import finding
from ffmpeg_jobs.cli.words import complain
from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.line import Endpoint


def connect(context: click.Context) -> MasterClient:
    """The client. Nothing is sent yet. Raises ConfigError."""
    return MasterClient(endpoint(context))


def endpoint(context: click.Context) -> Endpoint:
    """Where it is and which key it is shown. Raises ConfigError."""
    master = finding.asked(context)
    for file in master.open_files:
        complain(f"everybody on this machine can read the API key in {file}", f"chmod 600 {file}")
    if master.insecure_skip_verify:
        # We said it when we were told to; urllib3 would say it with each request.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    pair = (master.client_cert, master.client_key)
    return Endpoint(master.url, master.key, master.ca, master.insecure_skip_verify, *pair)
