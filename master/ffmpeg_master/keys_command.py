"""``ffmpeg-master keys``: create, list and revoke API keys."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ffmpeg_jobs.contract import WORKER_NAME_PATTERN
from ffmpeg_jobs.model import Role
from ffmpeg_jobs.problems import InvalidField, Problem
from ffmpeg_master import auth
from ffmpeg_master.config import Config
from ffmpeg_master.model import Key
from ffmpeg_master.owner import as_owner_of
from ffmpeg_master.store import keys, schema
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.jobs import timestamp

_EPILOG = """\
A key is shown once; the master keeps only its SHA-256. To change a key without a gap:
create a second one, give it to the clients, revoke the first.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Give the command line its ``keys``."""
    parser = commands.add_parser("keys", help="create, list and revoke API keys", epilog=_EPILOG)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = verbs.add_parser("create", help="create a key", epilog=_EPILOG)
    create.add_argument("--name", required=True, help="what the log calls its owner")
    create.add_argument(
        "--role",
        required=True,
        choices=[role.value for role in Role],
        help="read: look; submit: also submit and cancel; worker: run jobs; admin: everything",
    )
    create.add_argument(
        "--key-file",
        type=Path,
        metavar="PATH",
        help="write the key there (mode 0600) and not to stdout; the file must not exist",
    )
    show = verbs.add_parser("list", help="list keys; their secrets are not known")
    show.add_argument("--json", action="store_true", help="as a JSON array")
    revoke = verbs.add_parser("revoke", help="end a key's validity, within seconds")
    revoke.add_argument("name", metavar="NAME")


def run(options: argparse.Namespace, config: Config) -> int:
    """Do what was asked; the exit status. 1: refused, with a sentence on stderr."""
    try:
        if options.verb == "create":
            _create(config, options.name, Role(options.role), options.key_file)
        elif options.verb == "list":
            _list(config, as_json=options.json)
        else:
            with _store(config) as store:
                keys.revoke(store, options.name)
    except (Problem, schema.SchemaTooNew, OSError) as error:
        sys.stderr.write(f"ffmpeg-master: {error}\n")
        return 1
    return 0


def _create(config: Config, name: str, role: Role, file: Path | None) -> None:
    if not re.fullmatch(WORKER_NAME_PATTERN, name):
        raise InvalidField.of("--name", name, "letters, digits, '.', '_', '-', at most 63")
    secret = auth.new_secret()
    if file is None:
        with _store(config) as store:
            keys.create(store, name, role, auth.digest(secret))
        sys.stdout.write(secret + "\n")
        return
    _write_new(file, secret)
    try:
        with _store(config) as store:
            keys.create(store, name, role, auth.digest(secret))
    except (Problem, schema.SchemaTooNew, OSError):
        file.unlink()
        raise


def _write_new(file: Path, secret: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secret + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _list(config: Config, *, as_json: bool) -> None:
    with _store(config) as store:
        rows = keys.show_all(store)
    if as_json:
        sys.stdout.write(json.dumps([_to_json(key) for key in rows]) + "\n")
        return
    for key in rows:
        until = "valid" if key.revoked_at_seconds is None else "revoked"
        created = timestamp(key.created_at_seconds)
        sys.stdout.write(f"{key.name:24} {key.role.value:8} {until:8} created {created}\n")


def _to_json(key: Key) -> dict[str, str]:
    shown = {"name": key.name, "role": key.role.value}
    shown["created_at"] = timestamp(key.created_at_seconds)
    if key.revoked_at_seconds is not None:
        shown["revoked_at"] = timestamp(key.revoked_at_seconds)
    return shown


@contextmanager
def _store(config: Config) -> Iterator[Store]:
    """The store, opened as the user that it belongs to: root must not own the master's files."""
    store = Store(config.database)
    with as_owner_of(store.directory):
        try:
            schema.migrate(store)
            yield store
        finally:
            store.close()
