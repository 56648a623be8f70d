"""The folders that a job's files may be in, where each tenant has its own (pure).

``{tenant}`` stands for the name of the job's tenant, as one whole folder: ``/srv/out/{tenant}``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ffmpeg_jobs import places
from ffmpeg_jobs.contract import TENANT_NAME
from ffmpeg_jobs.model import Reason
from ffmpeg_jobs.settings import PATHS, ConfigError, Kind
from ffmpeg_worker.outcome import AttemptError

FOLDER: Final = "{tenant}"


def _read(value: object) -> tuple[Path, ...]:
    roots: tuple[Path, ...] = PATHS.read(value)
    for root in roots:
        if any("{" in part and part != FOLDER for part in root.parts):
            raise ValueError
    return roots


ROOTS: Final = Kind(f"a list of absolute paths; {FOLDER} may stand for one whole folder", _read)


def check_apart(**roots: Sequence[Path]) -> None:
    """Raises ConfigError if a folder for everybody holds the folders of each tenant."""
    shared = [(name, root) for name, some in roots.items() for root in some if not is_own(root)]
    own = [(name, root) for name, some in roots.items() for root in some if is_own(root)]
    for name, root in shared:
        for other, theirs in own:
            if before_tenant(theirs).is_relative_to(root):
                raise ConfigError(
                    f"{name}: {root} is for all tenants and holds {theirs} of {other}, so that "
                    "each could use the others' files; put them beside each other"
                )


def is_own(root: Path) -> bool:
    """Whether each tenant has a folder of its own there."""
    return FOLDER in root.parts


def before_tenant(root: Path) -> Path:
    """The folder that the tenants' own are in, of a root that is no folder for all."""
    return Path(*root.parts[: root.parts.index(FOLDER)])


def of_tenant(roots: Sequence[Path], tenant: str | None) -> tuple[Path, ...]:
    """The folders that a job of ``tenant`` may use; None: it has none. Raises AttemptError.

    The name is the master's word, and is held to what a tenant's name may be: one folder, never
    ``.`` or ``..``.
    """
    if tenant is not None and not re.fullmatch(TENANT_NAME["pattern"], tenant):
        words = f'the tenant\'s name "{tenant}" is not allowed; allowed is '
        raise AttemptError(Reason.INTERNAL_ERROR, words + TENANT_NAME["description"])
    named = [root for root in roots if tenant is not None or not is_own(root)]
    return tuple(
        Path(*(str(tenant) if part == FOLDER else part for part in root.parts)) for root in named
    )


def below(path: str, roots: Sequence[Path], tenant: str | None, field: str) -> str:
    """``path`` without ``..``, if it lies below one of the folders that the tenant's jobs may use.

    Links are checked later. Raises AttemptError.
    """
    reason, fault = (
        Reason.INPUT_ERROR if field == "input" else Reason.OUTPUT_ERROR,
        places.fault(path),
    )
    if fault is not None:
        words = f'{field}: "{path[:100]}..." cannot be; allowed is {fault}'
        raise AttemptError(reason, words, final=True)
    plain, mine = posixpath.normpath(path), of_tenant(roots, tenant)
    if any(plain.startswith(f"{root}/") for root in mine):
        return plain
    allowed = ", ".join(map(str, mine)) or "none"
    unnamed = tenant is None and len(mine) < len(roots)
    why = f"; the job names no tenant, which those with {FOLDER} need" if unnamed else ""
    raise AttemptError(
        reason,
        f'{field}: "{path}" is not in a folder this worker may use: {allowed}{why}',
        final=True,
    )
