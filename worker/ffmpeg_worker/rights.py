"""Whose outputs are, and who may read them: the operator's settings, [output] of worker.toml.

A job may change the rights of the file that it writes. So they are set outright when it is
published, and nothing that the job put there stays: no set-uid, no ACL, no extended attribute.
"""

from __future__ import annotations

import errno
import grp
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ffmpeg_jobs.settings import ConfigError, Kind, Setting
from ffmpeg_worker.walk import by_descriptor

#: Where outputs are while they are written, closed to others. Of each account its own: machines
#: that share a volume may number theirs differently.
STAGING_FOLDER: Final = f".ffmpeg-worker-{os.geteuid()}"
#: What they are where nothing is set, less the umask of the worker; 0027 in our unit.
FILE_MODE: Final = 0o644
FOLDER_MODE: Final = 0o755
#: acl(5), as the kernel keeps it: of the thing itself, and of what is made in a folder.
_ACL: Final = "system.posix_acl_access"
_DEFAULT_ACL: Final = "system.posix_acl_default"
_NO_ATTRIBUTE: Final = (errno.ENODATA, errno.EOPNOTSUPP)


def _as_mode(value: object) -> int:
    if not isinstance(value, str) or not re.fullmatch("0?[0-7]{3}", value):
        raise ValueError
    return int(value, 8)


def _as_group(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z_][A-Za-z0-9._-]{0,30}", value):
        raise ValueError
    return value


_MODE: Final = Kind('rights as of chmod, in quotes, without set-uid, such as "0640"', _as_mode)

OUTPUT_SETTINGS: Final = (
    Setting(
        "output",
        "file_mode",
        _MODE,
        None,
        "rights of each output, whatever its job made of them; 0644 less the worker's umask (0027 "
        "in its unit, so 0640) when it is not set",
    ),
    Setting(
        "output",
        "folder_mode",
        _MODE,
        None,
        "rights of each folder that is made for an output; 0755 less the umask (so 0750) when it "
        "is not set",
    ),
    Setting(
        "output",
        "group",
        Kind("the name of a group that the worker's account is in", _as_group),
        None,
        "group of each output and of each folder that is made for one; as the folder around it "
        "has it (the worker's own, or the folder's if that is set-gid) when it is not set",
    ),
)


@dataclass(frozen=True)
class Rights:
    """Of what a job leaves; None: as a new file, or folder, has them."""

    file_mode: int | None = None
    folder_mode: int | None = None
    gid: int | None = None


def rights(file_mode: int | None, folder_mode: int | None, group: str | None) -> Rights:
    """What is set. Raises ConfigError for a group that is not there."""
    try:
        gid = None if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(
            f'output.group: "{group}" is not there; allowed is the name of a group that the '
            "worker's account is in"
        ) from None
    return Rights(file_mode, folder_mode, gid)


def of_folder(folder: int, wanted: Rights) -> None:
    """Set them on a folder that was just made: ``folder`` is of O_PATH. Raises OSError."""
    _of_group(folder, wanted)
    if wanted.folder_mode is not None:
        # Its group is inherited by what is made in it, if the folder around it has it so.
        inherited = os.fstat(folder).st_mode & stat.S_ISGID
        Path(by_descriptor(folder)).chmod(wanted.folder_mode | inherited)


def of_file(file: int, around: int, wanted: Rights) -> None:
    """Set them on an output that goes into the folder ``around``; both are of O_PATH.

    What its job left on it goes. The ACL that its folder has for new files is set anew. Raises
    OSError.
    """
    path = by_descriptor(file)
    Path(path).chmod(0o600)
    for name in os.listxattr(path):
        if name.startswith("user.") or name == _ACL:
            os.removexattr(path, name)
    inherited = _default_acl(around)
    if inherited is not None:
        os.setxattr(path, _ACL, inherited)
    _of_group(file, wanted)
    plain = FILE_MODE if inherited is not None else FILE_MODE & ~_umask()
    Path(path).chmod(plain if wanted.file_mode is None else wanted.file_mode)


def _of_group(made: int, wanted: Rights) -> None:
    if wanted.gid is not None and os.fstat(made).st_gid != wanted.gid:
        os.chown(by_descriptor(made), -1, wanted.gid)


def _default_acl(folder: int) -> bytes | None:
    """Where it is, the umask is not asked (umask(2))."""
    try:
        return os.getxattr(by_descriptor(folder), _DEFAULT_ACL)
    except OSError as error:
        if error.errno not in _NO_ATTRIBUTE:
            raise
        return None


def _umask() -> int:
    """Ours; umask(2) would change it for all threads."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o077
