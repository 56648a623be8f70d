"""``ffmpeg-master backup``: copy the database while the master serves."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.config import Config
from ffmpeg_master.owner import as_owner_of
from ffmpeg_master.store import jobs
from ffmpeg_master.store.engine import Store

_EPILOG = """\
The copy holds all jobs as they are at one moment, their logs, and the hashes of the keys. To
restore: stop the master, put the copy in the database's place, start it again.
"""
_SERVER = "a PostgreSQL is backed up with its own tools: pg_dump --format=custom --file=FILE NAME"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Give the command line its ``backup``."""
    parser = commands.add_parser("backup", help="copy the jobs while it serves", epilog=_EPILOG)
    parser.add_argument("file", type=Path, metavar="FILE", help="it must not exist")


def run(file: Path, config: Config) -> int:
    """Copy the database to ``file``; the exit status. 1: refused, with a sentence on stderr."""
    try:
        store = Store(config.database)
        if store.directory is None:
            raise Unavailable(_SERVER)
        _copy(store, store.directory, file)
    except (Unavailable, OSError) as error:
        sys.stderr.write(f"ffmpeg-master: {error}\n")
        return 1
    return 0


def _copy(store: Store, directory: Path, file: Path) -> None:
    # The files beside the database must not become root's; the copy may lie where only root may.
    if not Path(str(store.url.database)).exists():
        raise Unavailable(f"there is no database {store.url.database}")
    with as_owner_of(directory):
        jobs.counts(store)  # opens them all
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        store.copy_to(file)
        os.fsync(descriptor)
    except (Unavailable, OSError):
        file.unlink()
        raise
    finally:
        os.close(descriptor)
        store.close()
