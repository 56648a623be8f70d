"""The subcommands of ``ffmpeg-worker``. Without one it is the daemon.

A row names the module that holds the subcommand: ``add_arguments(parser)`` says what it takes,
``run(config, arguments)`` does it and returns the exit status. None of them needs the API key.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from ffmpeg_worker.config import Config

COMMANDS: Final = {
    "clean": ("clean", "Remove what dead jobs left on the disk."),
    "capacity": ("capacity", "Print how many jobs this machine takes at once, and why."),
    "drain": ("drain", "Take no new jobs, and let those that run end or be given back."),
    "undrain": ("undrain", "Take jobs again."),
    "stop-jobs": ("stop_jobs", "End all jobs of this machine now, and give them back."),
}


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give the daemon's parser its subcommands; ``arguments.command`` is the one that was given."""
    rows = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, (_, words) in COMMANDS.items():
        inner = rows.add_parser(name, help=words, description=words)
        # May stand after the subcommand too; without a default it does not undo the one before.
        inner.add_argument(
            "--config", type=Path, default=argparse.SUPPRESS, metavar="FILE", help="worker.toml"
        )
        _module(name).add_arguments(inner)


def run_command(config: Config, arguments: argparse.Namespace) -> int:
    """Do what the subcommand says; its exit status."""
    status: int = _module(arguments.command).run(config, arguments)
    return status


def _module(name: str) -> Any:
    return import_module(f"ffmpeg_worker.commands.{COMMANDS[name][0]}")
