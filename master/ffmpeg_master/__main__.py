"""``ffmpeg-master``: flags, settings, then serve or look after keys."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ffmpeg_jobs import __version__
from ffmpeg_jobs.daemon import set_up_journal, set_up_logging
from ffmpeg_jobs.settings import EX_CONFIG, ConfigError, add_flags, command_line, example
from ffmpeg_master import (
    backup_command,
    config,
    keys_command,
    server,
    tenants_command,
    tls_command,
)

_DESCRIPTION = """\
Takes jobs for ffmpeg, keeps them, and hands each to one worker at a time.

  ffmpeg-master                                    serve (the service does this)
  ffmpeg-master keys create --name ann --role submit
  ffmpeg-master keys list
  ffmpeg-master keys revoke ann
  ffmpeg-master tenants set studio --max-running 4  limits of all its jobs together
  ffmpeg-master backup /var/backups/master.db      copy the jobs while it serves
  ffmpeg-master init-tls --host jobs.example       make a private CA and a certificate
  ffmpeg-master --print-example-config             every setting, its meaning and default
"""
_EPILOG = """\
Exit status: 0 after a stop by SIGTERM, 1 a refused command, 2 a wrong command line,
78 a configuration or database that cannot be used (the reason is on stderr).
"""


#: What is done in the database, beside a serving master.
_BESIDE: Final = {"keys": keys_command.run, "tenants": tenants_command.run}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    os.umask(0o077)  # jobs hold presigned URLs: the database is the master's alone
    options = _parser().parse_args(arguments)
    if options.print_example_config:
        sys.stdout.write(example(config.SETTINGS, "master.toml: the settings of ffmpeg-master"))
        return 0
    if options.command == "init-tls":
        return tls_command.run(options)
    try:
        settings = _read(options)
        if options.command in _BESIDE:
            set_up_journal()  # not to where the key is printed
            return _BESIDE[options.command](options, settings)
        if options.command == "backup":
            return backup_command.run(options.file, settings)
        return _serve(options, settings)
    except ConfigError as error:
        sys.stderr.write(f"ffmpeg-master: {error}\n")
        return EX_CONFIG


def _parser() -> argparse.ArgumentParser:
    parser = command_line(
        prog="ffmpeg-master",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ffmpeg-master {__version__}")
    parser.add_argument("--print-example-config", action="store_true", help="print master.toml")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"instead of {config.DEFAULT_FILE}"
    )
    add_flags(parser, config.SETTINGS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="serve the API (the default)")
    keys_command.add_parser(commands)
    tenants_command.add_parser(commands)
    backup_command.add_parser(commands)
    tls_command.add_parser(commands)
    return parser


def _read(options: argparse.Namespace) -> config.Config:
    return config.read(options.config, vars(options), os.environ)


def _serve(options: argparse.Namespace, settings: config.Config) -> int:
    set_up_logging(settings.log_level)
    main_process = os.getpid()
    try:
        server.Server(lambda: _read(options)).run()
    except SystemExit as end:
        # The serving process, a fork of this one, leaves through here too.
        if end.code == server.CANNOT_OPEN_STATUS and os.getpid() == main_process:
            return EX_CONFIG
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
