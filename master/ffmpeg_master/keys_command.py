"""``ffmpeg-master keys``: create, list and revoke API keys."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from ffmpeg_jobs.contract import WORKER_NAME_PATTERN
from ffmpeg_jobs.model import Action, Role
from ffmpeg_jobs.problems import InvalidField, Problem
from ffmpeg_master import auth
from ffmpeg_master.config import Config
from ffmpeg_master.local import act, store_of
from ffmpeg_master.model import DEFAULT_TENANT, Grant, Key
from ffmpeg_master.store import keys, schema
from ffmpeg_master.store.jobs import timestamp

log = structlog.get_logger()

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
        help="monitor: figures of all tenants, no job; read: look; submit: also submit and cancel; "
        "worker: run jobs; admin: everything",
    )
    create.add_argument(
        "--tenant",
        metavar="NAME",
        help=f"whose jobs it submits, sees and acts on ({DEFAULT_TENANT}); an admin sees all; "
        "with --role worker: whose jobs its workers get (everybody's)",
    )
    create.add_argument(
        "--worker", metavar="NAME", help="with --role worker: it acts as this worker alone"
    )
    create.add_argument(
        "--replaces",
        metavar="NAME",
        help="with --role worker: it takes the workers of this key over, one as each comes with it",
    )
    create.add_argument(
        "--expires", metavar="WHEN", help="in days, as 90d, or a date of UTC, as 2027-01-31"
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
            _create(config, options)
            # After it: what is done is not undone because of the log.
            done, granted = act(Action.KEY_CREATED), _granted(options)
            log.info(
                "key_created", by=done.who, key=options.name, **granted, action=done.action.value
            )
        elif options.verb == "list":
            _list(config, as_json=options.json)
        else:
            done = act(Action.KEY_REVOKED)
            with store_of(config) as store:
                keys.revoke(store, options.name, done)
            log.info("key_revoked", by=done.who, key=options.name, action=done.action.value)
    except (Problem, schema.SchemaTooNew, OSError) as error:
        sys.stderr.write(f"ffmpeg-master: {error}\n")
        return 1
    return 0


def _create(config: Config, options: argparse.Namespace) -> None:
    _check(options)
    file: Path | None = options.key_file
    secret = auth.new_secret()
    if file is None:
        _enter(config, options, secret)
        sys.stdout.write(secret + "\n")
        return
    _write_new(file, secret)
    try:
        _enter(config, options, secret)
    except (Problem, schema.SchemaTooNew, OSError):
        file.unlink()
        raise


def _check(options: argparse.Namespace) -> None:
    for flag in ("name", "tenant", "worker", "replaces"):
        given = getattr(options, flag)
        if given is not None and not re.fullmatch(WORKER_NAME_PATTERN, given):
            allowed = "letters, digits, '.', '_', '-', at most 63"
            raise InvalidField.of(f"--{flag}", given, allowed)
    for flag in ("worker", "replaces"):
        given = getattr(options, flag)
        if given is not None and options.role != Role.WORKER.value:
            raise InvalidField.of(f"--{flag}", given, "set with --role worker only")


def _enter(config: Config, options: argparse.Namespace, secret: str) -> None:
    with store_of(config) as store:
        expires_at_seconds = _end(options.expires, store.now())
        bounds = (options.worker, expires_at_seconds, options.replaces)
        grant = Grant(
            Role(options.role), options.tenant or DEFAULT_TENANT, *bounds, _serves(options)
        )
        done = act(Action.KEY_CREATED)
        keys.create(store, options.name, grant, auth.digest(secret), done)


def _serves(options: argparse.Namespace) -> str | None:
    """Whose jobs a worker with the key gets; None: everybody's, or it is no worker's."""
    tenant: str | None = options.tenant
    return tenant if options.role == Role.WORKER.value else None


def _granted(options: argparse.Namespace) -> dict[str, str]:
    """What the log says of a new key; the audit log has all of it."""
    granted = {name: getattr(options, name) for name in ("role", "worker", "replaces")}
    granted |= {"tenant": options.tenant or DEFAULT_TENANT, "serves": _serves(options)}
    return {name: value for name, value in granted.items() if value is not None}


def _end(words: str | None, now_seconds: float) -> float | None:
    """The Unix time that ``90d`` or a date stand for. Raises InvalidField."""
    if words is None:
        return None
    days = re.fullmatch("([1-9][0-9]{0,4})d", words)
    if days:
        return now_seconds + int(days[1]) * 86400
    with suppress(ValueError):
        end = datetime.strptime(words, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
        if end > now_seconds:
            return end
    raise InvalidField.of("--expires", words, "days, as 90d, or a date to come, as 2027-01-31")


def _write_new(file: Path, secret: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secret + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _list(config: Config, *, as_json: bool) -> None:
    with store_of(config) as store:
        rows, now_seconds = keys.show_all(store), store.now()
    if as_json:
        sys.stdout.write(json.dumps([_to_json(key) for key in rows]) + "\n")
        return
    for key in rows:
        shown = _to_json(key)
        times = [f"{word} {shown[word + '_at']}" for word in _TIMES if word + "_at" in shown]
        bounds = [f"{word} {shown[word]}" for word in _BOUNDS if word in shown]
        words = ", ".join([*bounds, *times, *([] if "last_used_at" in shown else ["never used"])])
        state = _state(key, now_seconds)
        columns = f"{key.name:24} {key.role.value:8} {key.grant.tenant:16} {state:8}"
        sys.stdout.write(f"{columns} {words.replace('_', ' ')}\n")


_BOUNDS: Final = ("worker", "replaces", "serves")
_TIMES: Final = ("created", "expires", "revoked", "last_used")


def _state(key: Key, now_seconds: float) -> str:
    if key.revoked_at_seconds is not None:
        return "revoked"
    expires_at = key.grant.expires_at_seconds
    return "valid" if expires_at is None or now_seconds < expires_at else "expired"


def _to_json(key: Key) -> dict[str, str]:
    shown = {"name": key.name, "role": key.role.value, "tenant": key.grant.tenant}
    if key.grant.worker is not None:
        shown["worker"] = key.grant.worker
    if key.grant.replaces is not None:
        shown["replaces"] = key.grant.replaces
    if key.grant.serves is not None:
        shown["serves"] = key.grant.serves
    times = {
        "created_at": key.created_at_seconds,
        "expires_at": key.grant.expires_at_seconds,
        "revoked_at": key.revoked_at_seconds,
        "last_used_at": key.last_used_at_seconds,
    }
    return shown | {name: timestamp(at) for name, at in times.items() if at is not None}
