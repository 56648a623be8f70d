"""``ffmpeg-master tenants``: say what tenants may have, beside a serving master."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final

import structlog

from ffmpeg_jobs import contract
from ffmpeg_jobs.model import Action, TenantLimits, TenantStatus
from ffmpeg_jobs.problems import InvalidField, Problem
from ffmpeg_jobs.schema import check, from_json, to_json
from ffmpeg_master.config import Config
from ffmpeg_master.local import act, store_of
from ffmpeg_master.store import schema, tenants
from ffmpeg_master.store.engine import Store

log = structlog.get_logger()

_EPILOG = """\
A limit holds for what is accepted, retried or handed out from then on. A serving master notices
it within a second.
"""
#: By the name of the limit: how its value is called, and what it means.
_LIMITS: Final = {
    "max_queued": ("N", "jobs that wait; a job more is refused (429)"),
    "max_running": ("N", "jobs that workers hold at once; the others wait"),
    "max_cpu_percent": (
        "N",
        "CPU of these together, and of one (403); 100 is one core, which a job gets that asks none",
    ),
    "max_timeout_sec": ("SEC", "how long one job may run, also where it asks nothing"),
    "queues": ("LIST", "queues that its jobs may be in, such as default,batch"),
    "rate": ("N", "jobs accepted a minute; so many at once after a minute of none"),
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Give the command line its ``tenants``."""
    parser = commands.add_parser("tenants", help="set and show what tenants may have")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    setting = verbs.add_parser(
        "set", help="set limits of a tenant; others stay as they are", epilog=_EPILOG
    )
    setting.add_argument("name", metavar="TENANT")
    for name, (value, words) in _LIMITS.items():
        setting.add_argument(_flag(name), metavar=value, help=words)
    unset = verbs.add_parser("unset", help="take limits of a tenant away", epilog=_EPILOG)
    unset.add_argument("name", metavar="TENANT")
    unset.add_argument("limits", nargs="+", metavar="LIMIT", help=", ".join(map(_word, _LIMITS)))
    remove = verbs.add_parser("remove", help="take all limits of a tenant away; its jobs stay")
    remove.add_argument("name", metavar="TENANT")
    shown = verbs.add_parser("list", help="list tenants that have limits, a key or a job")
    shown.add_argument("--json", action="store_true", help="as a JSON array")
    show = verbs.add_parser("show", help="show what a tenant may have, and what it has")
    show.add_argument("name", metavar="TENANT")
    show.add_argument("--json", action="store_true", help="as a JSON object")


def _word(name: str) -> str:
    """How the command line calls a limit."""
    return name.removesuffix("_sec").replace("_", "-")


def _flag(name: str) -> str:
    return f"--{_word(name)}"


def run(options: argparse.Namespace, config: Config) -> int:
    """Do what was asked; the exit status. 1: refused, with a sentence on stderr."""
    try:
        _check_name(options)
        with store_of(config) as store:
            _VERBS[options.verb](store, options)
    except (Problem, schema.SchemaTooNew, OSError) as error:
        sys.stderr.write(f"ffmpeg-master: {error}\n")
        return 1
    return 0


def _check_name(options: argparse.Namespace) -> None:
    name = getattr(options, "name", None)
    if name is not None and not re.fullmatch(contract.TENANT_NAME["pattern"], name):
        raise InvalidField.of("TENANT", name, contract.TENANT_NAME["description"])


def _set(store: Store, options: argparse.Namespace) -> None:
    given = {name: getattr(options, name.removesuffix("_sec")) for name in _LIMITS}
    wanted = {name: _value(name, text) for name, text in given.items() if text is not None}
    if not wanted:
        allowed = "at least one of " + ", ".join(map(_flag, _LIMITS))
        raise InvalidField(f"no limit is given; needed is {allowed}")
    limits = from_json(TenantLimits, wanted)
    _change(store, options.name, {name: getattr(limits, name) for name in wanted})


def _value(name: str, text: str) -> Any:
    """A limit as the API takes it. Raises InvalidField."""
    value: Any = text
    if name == "queues":
        value = text.split(",")
    elif re.fullmatch("[0-9]{1,18}", text):
        value = int(text)
    schema_of_one = contract.TENANT_LIMITS["properties"][name]
    try:
        check(schema_of_one, value)
    except InvalidField:
        raise InvalidField.of(_flag(name), text, schema_of_one["description"]) from None
    return value


def _unset(store: Store, options: argparse.Namespace) -> None:
    names = {_word(name): name for name in _LIMITS}
    for word in options.limits:
        if word not in names:
            raise InvalidField.of("LIMIT", word, "one of " + ", ".join(names))
    _change(store, options.name, {names[word]: None for word in options.limits})


def _change(store: Store, name: str, values: Mapping[str, Any]) -> None:
    done = act(Action.TENANT_LIMITED)
    limits = tenants.change(store, name, lambda before: replace(before, **values), done)
    log.info("tenant_limited", by=done.who, of=name, action=done.action.value, **to_json(limits))


def _remove(store: Store, options: argparse.Namespace) -> None:
    done = act(Action.TENANT_REMOVED)
    tenants.remove(store, options.name, done)
    log.info("tenant_removed", by=done.who, of=options.name, action=done.action.value)


def _list(store: Store, options: argparse.Namespace) -> None:
    shown = tenants.show_all(store)
    if options.json:
        sys.stdout.write(json.dumps(to_json(shown)) + "\n")
        return
    for status in shown:
        words = ", ".join(f"{_word(n)} {text}" for n, text in _limits(status).items())
        counts = f"queued {status.queued:<7} running {status.running:<5}"
        sys.stdout.write(f"{status.name:24} {counts} {words or 'no limits'}\n")


def _show(store: Store, options: argparse.Namespace) -> None:
    status = tenants.show(store, options.name)
    if options.json:
        sys.stdout.write(json.dumps(to_json(status)) + "\n")
        return
    has = {name: str(getattr(status, name)) for name in ("queued", "running", "cpu_percent")}
    for name, text in (has | _limits(status)).items():
        sys.stdout.write(f"{_word(name):16} {text}\n")


def _limits(status: TenantStatus) -> dict[str, str]:
    """The limits that there are, as they are written on the command line."""
    found = {field.name: getattr(status.limits, field.name) for field in fields(TenantLimits)}
    return {
        name: ",".join(queue.value for queue in value) if name == "queues" else str(value)
        for name, value in found.items()
        if value is not None
    }


_VERBS: Final = {
    "set": _set,
    "unset": _unset,
    "remove": _remove,
    "list": _list,
    "show": _show,
}
