"""Where the master is and which key to show it: flags, environment, files."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ffmpeg_jobs import settings
from ffmpeg_jobs.settings import FLAG, TEXT, URLS, ConfigError, Found, Kind, Setting

SYSTEM_FILE: Final = Path("/etc/ffmpeg-worker/jobs.toml")
USER_FILE: Final = "ffmpeg-jobs.toml"  #: below $XDG_CONFIG_HOME, else ~/.config

# Names in click's meta, which the command and its verb share.
_FLAGS: Final = "ffmpeg_jobs.flags"
MASTER: Final = "ffmpeg_jobs.master"  #: the Master, once it is asked for

Command = TypeVar("Command", bound=Callable[..., Any])


def _as_file(value: object) -> str:
    path = Path(TEXT.read(value)).expanduser()
    if not path.is_absolute():
        raise ValueError
    return str(path)


def _as_key(value: object) -> str:
    # RFC 6750, section 2.1, and anything else that may stand in a header.
    key = str(TEXT.read(value)).strip()
    if not key or not all("\x21" <= char <= "\x7e" for char in key):
        raise ValueError
    return key


_FILE = Kind("an absolute path, or one that begins with ~/", _as_file)
_KEY = Kind("printable ASCII characters without a space", _as_key)

SETTINGS: Final = (
    Setting(
        "",
        "master",
        URLS,
        "http://127.0.0.1:8080",
        "where the master is, or those that share a database are",
        "--master",
        "FFMPEG_JOBS_MASTER",
    ),
    # No flag: every user of a machine sees the command lines of all.
    Setting("", "key", _KEY, None, "the API key itself", None, "FFMPEG_JOBS_KEY", secret=True),
    Setting(
        "",
        "key_file",
        _FILE,
        None,
        "a file that holds only the API key",
        "--key-file",
        "FFMPEG_JOBS_KEY_FILE",
    ),
    Setting(
        "",
        "ca",
        _FILE,
        None,
        "a PEM file with the authority that signed the master's certificate",
        "--ca",
        "FFMPEG_JOBS_CA",
    ),
    Setting(
        "",
        "client_cert",
        _FILE,
        None,
        "a PEM file with a certificate to show the master, where it asks for one",
        "--client-cert",
    ),
    Setting("", "client_key", _FILE, None, "the PEM file with its key", "--client-key"),
    Setting(
        "",
        "insecure_skip_verify",
        FLAG,
        False,
        "take any certificate: whoever is in between reads the key",
        "--insecure-skip-verify",
    ),
)


@dataclass(frozen=True)
class Master:
    """The master as it was found, and in whose words."""

    url: str
    url_source: str
    key: str
    key_source: str
    ca: str | None
    client_cert: str | None
    client_key: str | None
    insecure_skip_verify: bool
    open_files: tuple[Path, ...]  #: that hold a key and that everybody can read


def user_file(environ: Mapping[str, str]) -> Path:
    """The user's own file (XDG Base Directory Specification: relative paths are ignored)."""
    home = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(home) if home.startswith("/") else Path.home() / ".config"
    return folder / USER_FILE


def find(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    config: Path | None = None,
    system_file: Path = SYSTEM_FILE,
) -> Master:
    """The master, from the first place that names it; ``config`` stands for both files.

    Flags go before the environment, that before the user's file, that before the system's.
    Raises ConfigError.
    """
    files = [user_file(environ), system_file] if config is None else [config]
    places = [
        settings.from_flags(SETTINGS, flags),
        settings.from_environment(SETTINGS, environ),
        *(settings.from_file(SETTINGS, file, needed=config is not None) for file in files),
    ]

    def first(name: str) -> Found:
        default = next(row.default for row in SETTINGS if row.name == name)
        unset = Found(default, "the default")
        return next((place[name] for place in places if name in place), unset)

    url, ca, key = first("master"), first("ca"), _key(places)
    if ca.value is not None and not Path(ca.value).is_file():
        raise ConfigError(f"{ca.source}: {ca.value}: no such file")
    key_files = [file for file in files if _holds_key(file)]
    if isinstance(key, _InFile):
        key_files.append(key.file)
    return Master(
        url.value,
        url.source,
        key.value,
        key.source,
        ca.value,
        first("client_cert").value,
        first("client_key").value,
        first("insecure_skip_verify").value,
        tuple(file for file in key_files if file.stat().st_mode & stat.S_IROTH),
    )


@dataclass(frozen=True)
class _InFile(Found):
    file: Path


def _key(places: list[dict[str, Found]]) -> Found:
    for place in places:
        if "key" in place and "key_file" in place:
            both = f"{place['key'].source} and {place['key_file'].source}"
            raise ConfigError(f"{both}: only one of the two may be set")
        if "key" in place:
            return place["key"]
        if "key_file" in place:
            return _read_key(place["key_file"])
    error = ConfigError("no API key is set")
    error.add_note(
        f"set key_file in ~/.config/{USER_FILE} or {SYSTEM_FILE}, "
        "or give --key-file or $FFMPEG_JOBS_KEY_FILE"
    )
    raise error


def _read_key(at: Found) -> _InFile:
    file = Path(at.value)
    where = f"key file {file} (from {at.source})"
    try:
        return _InFile(_as_key(file.read_text(encoding="ascii")), where, file)
    except OSError as error:
        refusal = ConfigError(f"{where}: {error.strerror}")
        if isinstance(error, PermissionError):
            refusal.add_note(f"run as its owner, or set a key of your own in ~/.config/{USER_FILE}")
        raise refusal from None
    except ValueError:
        raise ConfigError(f"{where}: its content is not {_KEY.words}") from None


def _holds_key(file: Path) -> bool:
    return "key" in settings.from_file(SETTINGS, file, needed=False)


def options(command: Command) -> Command:
    """The flags that find the master, before or after the verb; they reach ``asked``."""
    for row in reversed(SETTINGS):
        if row.flag is None:
            continue
        more: dict[str, Any] = {"is_flag": True, "default": None}
        if row.kind is URLS:
            more = {"metavar": "URL"}
        elif row.kind is _FILE:
            more = {"metavar": "PATH", "type": _path}
        command = _option(row.flag, row.name, _words(row), **more)(command)
    words = f"Read this file instead of ~/.config/{USER_FILE} and {SYSTEM_FILE}."
    return _option("--config", "config", words, metavar="PATH", type=_path)(command)


_path = click.Path(dir_okay=False)


def _option(flag: str, name: str, words: str, **more: Any) -> Callable[[Command], Command]:
    return click.option(flag, name, help=words, expose_value=False, callback=_remember, **more)


def _words(row: Setting) -> str:
    also = f" (also ${row.env})" if row.env else ""
    return f"{row.help[0].upper()}{row.help[1:]}{also}."


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None:
        if parameter.type is _path:
            value = str(Path(value).expanduser().absolute())
        context.meta.setdefault(_FLAGS, {})[parameter.name] = value


def asked(context: click.Context) -> Master:
    """The master that the command line, the environment or the files name. ConfigError."""
    flags = context.meta.get(_FLAGS, {})
    config = flags.get("config")
    master = find(flags, os.environ, None if config is None else Path(config))
    context.meta[MASTER] = master
    return master
