"""Settings: one table of rows per daemon makes its configuration, ``--help`` and example file.

A row says where a value may come from: a table of the TOML file, a flag, an environment
variable (flag before environment before file before default). Anything unknown or out of
range ends the program with a sentence that names file, field, value and what is allowed,
and with exit status 78 (EX_CONFIG, sysexits.h), which systemd shows as ``CONFIG``.
"""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

EX_CONFIG: Final = 78


class ConfigError(Exception):
    """The configuration cannot be used. The message is for people; exit status 78."""


@dataclass(frozen=True)
class Kind:
    """What a value may be: ``read`` returns it or raises ValueError; ``words`` say what it is."""

    words: str
    read: Callable[[object], Any]
    takes_value: bool = True


def _fail() -> NoReturn:
    raise ValueError


def _as_text(value: object) -> str:
    return value if isinstance(value, str) and value and "\0" not in value else _fail()


def _as_flag(value: object) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    word = str(value).lower()
    return words[word] if word in words else _fail()


def _as_url(value: object) -> str:
    url = urlsplit(_as_text(value))
    good = url.scheme in ("http", "https") and url.hostname and url.port != 0
    extra = url.query or url.fragment or url.username is not None
    return url.geturl().rstrip("/") if good and not extra else _fail()


def _as_urls(value: object) -> str:
    return ",".join(_as_url(url.strip()) for url in _as_texts(value))


def whole(low: int, high: int, unit: str) -> Kind:
    """A whole number of ``unit`` from ``low`` to ``high``."""

    def read(value: object) -> int:
        if isinstance(value, str) and re.fullmatch("-?[0-9]{1,18}", value):
            value = int(value)
        return value if type(value) is int and low <= value <= high else _fail()

    return Kind(f"a whole number of {unit} from {low} to {high}", read)


def choice(*values: str) -> Kind:
    """One of the given words."""
    return Kind(
        "one of " + ", ".join(f'"{v}"' for v in values),
        lambda value: str(value) if value in values else _fail(),
    )


def _as_texts(value: object) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list):
        _fail()
    return tuple(_as_text(item) for item in items)


def _as_paths(value: object) -> tuple[Path, ...]:
    return tuple(_as_path(item) for item in _as_texts(value))


def _as_path(value: object) -> Path:
    path = Path(_as_text(value))
    return path if path.is_absolute() else _fail()


TEXT: Final = Kind("a text", _as_text)
TEXTS: Final = Kind("a list of texts", _as_texts)
PATH: Final = Kind("an absolute path", _as_path)
PATHS: Final = Kind("a list of absolute paths", _as_paths)
FLAG: Final = Kind("true or false", _as_flag, takes_value=False)
URLS: Final = Kind(
    "a URL such as https://master.example:8080, or several, separated by commas", _as_urls
)


@dataclass(frozen=True)
class Found:
    """A value and where it was found, in words for people."""

    value: Any
    source: str  #: "--master", "$FFMPEG_JOBS_MASTER" or "/etc/x.toml: [limits] max_cpu_percent"


@dataclass(frozen=True)
class Setting:
    """One row: where it stands in the file, what it may be, what it means."""

    table: str  #: "" is the top of the file
    name: str
    kind: Kind
    default: Any  #: None: not set
    help: str
    flag: str | None = None  #: "--master"; a flag without value when the kind takes none
    env: str | None = None
    secret: bool = False  #: never shown, not even when it is refused

    @property
    def place(self) -> str:
        """How a person finds it in the file: ``[limits] max_memory_mb``."""
        return f"[{self.table}] {self.name}" if self.table else self.name

    def value(self, raw: object, source: str) -> Any:
        """The value that ``raw`` stands for; raises ConfigError naming ``source``."""
        return self.found(raw, source).value

    def found(self, raw: object, source: str) -> Found:
        """The value that ``raw`` stands for; raises ConfigError naming ``source``."""
        try:
            return Found(self.kind.read(raw), source)
        except ValueError:
            shown = f'"{raw}"' if isinstance(raw, str) else str(raw)
            shown = "what is there" if self.secret else shown
            raise ConfigError(f"{source}: {shown} is not {self.kind.words}") from None


def load(
    settings: Sequence[Setting],
    file: Path,
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    needed: bool = True,
) -> dict[str, Any]:
    """The value of every setting by name. ``needed``: a missing file is an error.

    Raises ConfigError, also for a wrong value that another one overrides.
    """
    found = from_file(settings, file, needed=needed)
    found |= from_environment(settings, environ)
    found |= from_flags(settings, flags)
    return {
        row.name: found[row.name].value if row.name in found else row.default for row in settings
    }


def from_flags(settings: Sequence[Setting], flags: Mapping[str, Any]) -> dict[str, Found]:
    """What was given on the command line, by name of setting. Raises ConfigError."""
    return {
        row.name: row.found(flags[row.name], row.flag or row.name)
        for row in settings
        if flags.get(row.name) is not None
    }


def from_environment(settings: Sequence[Setting], environ: Mapping[str, str]) -> dict[str, Found]:
    """What the environment sets, by name of setting; empty is not set. Raises ConfigError."""
    return {
        row.name: row.found(environ[row.env], f"${row.env}")
        for row in settings
        if row.env and environ.get(row.env)
    }


def from_file(settings: Sequence[Setting], file: Path, *, needed: bool = True) -> dict[str, Found]:
    """What the TOML file sets, by name of setting; "" is not set where that is the default.

    ``needed``: a missing file is an error. Raises ConfigError.
    """
    tables = _read(file, needed)
    _refuse_unknown(settings, tables, str(file))
    found = {}
    for row in settings:
        table = tables.get(row.table, {}) if row.table else tables
        raw = table.get(row.name, row.default)
        if row.name in table and not (raw == "" and row.default is None):
            found[row.name] = row.found(raw, f"{file}: {row.place}")
    return found


def _read(file: Path, needed: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if needed:
            raise ConfigError(f"{file}: no such file") from None
        return {}
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from None


def _refuse_unknown(settings: Sequence[Setting], tables: dict[str, Any], name: str) -> None:
    known = {(row.table, row.name) for row in settings}
    names = {table for table, _ in known if table}
    for key, value in tables.items():
        if key in names:
            if not isinstance(value, dict):
                raise ConfigError(f"{name}: {key}: {value!r} is not a table; write [{key}]")
            for inner in value:
                if (key, inner) not in known:
                    allowed = ", ".join(n for t, n in sorted(known) if t == key)
                    raise ConfigError(f"{name}: [{key}] {inner}: unknown; allowed are {allowed}")
        elif ("", key) not in known:
            tops = ", ".join([*(n for t, n in sorted(known) if not t), *sorted(names)])
            raise ConfigError(f"{name}: {key}: unknown; allowed are {tops}")


def command_line(**words: Any) -> argparse.ArgumentParser:
    """A parser with these words of argparse that takes flags, also of its commands, only as they
    are written out: what looks like another one is refused."""
    return _Whole(**words)


class _Whole(argparse.ArgumentParser):
    """Its kind is also that of its commands' parsers."""

    def __init__(self, **words: Any) -> None:
        super().__init__(allow_abbrev=False, **words)


def refuse_secret(parser: argparse.ArgumentParser, flag: str, file_flag: str) -> None:
    """Have ``flag`` with a secret refused with a sentence that does not repeat it."""
    words = f"a secret on a command line can be read by everybody; write it to a file: {file_flag}"
    parser.add_argument(
        flag, action=_Refuse, nargs="?", dest="refused", help=argparse.SUPPRESS, const=words
    )


class _Refuse(argparse.Action):
    """Refuses whatever the flag is given."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        parser.error(f"{self.option_strings[0]}: {self.const}")


def add_flags(parser: argparse.ArgumentParser, settings: Sequence[Setting]) -> None:
    """Give ``parser`` a flag for each row that has one; its values are checked by ``load``."""
    for row in settings:
        if row.flag is None:
            continue
        words = f"{row.help} ({row.kind.words}; {row.place} in the file)"
        if row.kind.takes_value:
            metavar = row.name.rsplit("_", 1)[-1].upper()
            parser.add_argument(row.flag, dest=row.name, metavar=metavar, help=words)
        else:
            parser.add_argument(
                row.flag, dest=row.name, action="store_const", const=True, help=words
            )


def example(settings: Sequence[Setting], title: str) -> str:
    """The example file: every setting with its meaning and default, commented out."""
    lines = [f"# {title}", "# Lines that begin with # show the defaults.", ""]
    table = ""
    for row in sorted(settings, key=lambda r: (r.table != "", r.table)):
        if row.table != table:
            table = row.table
            lines += [f"[{table}]", ""]
        lines.append(f"# {row.help[0].upper()}{row.help[1:]}: {row.kind.words}.")
        lines += [f"# {row.name} = {_toml(row.default)}", ""]
    return "\n".join(lines)


def _toml(value: object) -> str:
    if value is None:
        return '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    # JSON's strings are also TOML's.
    return json.dumps(str(value))
