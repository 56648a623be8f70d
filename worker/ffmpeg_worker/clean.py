"""What dead jobs left on the disk: found by its exact name, kind, owner and age, and removed.

Never through a link, never outside the jobs directory, the control directory and the output roots,
and never what an attempt on this machine still holds. Safe beside a running worker.
"""

from __future__ import annotations

import asyncio
import errno
import glob
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from ffmpeg_worker import control
from ffmpeg_worker.config import Config
from ffmpeg_worker.marks import RECORD_NAME
from ffmpeg_worker.plan import STAGED_NAME
from ffmpeg_worker.roots import FOLDER
from ffmpeg_worker.staging import FOLDERS, OVER, clear_leftover
from ffmpeg_worker.tree import entries

#: A directory without a plan is a running worker's for some milliseconds.
YOUNG_SECONDS: Final = 3600.0
#: Machines may share a root, and one may hold a whole output for a master that is away. The same
#: on all of them: more than the longest job may run (a week), and than anybody lets a master lie.
STAGED_SECONDS: Final = 30 * 86400.0
#: The clock of files is some milliseconds behind.
COARSE_SECONDS: Final = 0.1
_ATTEMPT: Final = re.compile(r"[a-z2-7]{12}\.[1-9][0-9]{0,3}\Z")

log = structlog.get_logger()


async def keep_clean(config: Config, began: float) -> None:
    """Remove once what is dead, aside of the work; never returns.

    Directories without a plan from before this worker ``began`` (Unix time) are nobody's.
    """
    try:
        for path in await asyncio.to_thread(clean, config, began - COARSE_SECONDS):
            log.info("cleaned", path=str(path))
    except OSError as error:  # the timer tries again; jobs need not wait for it
        log.error("cannot_clean", reason=str(error))
    await asyncio.Event().wait()


def clean(config: Config, before: float | None = None) -> list[Path]:
    """Remove what is dead; each path that was removed.

    ``before``: directories without a plan are dead if they last changed before that Unix time;
    None: a worker may be making one now, so an hour ago. What cannot be removed is logged and
    stays. Raises OSError where the jobs directory cannot be read.
    """
    if not config.jobs_directory.exists():
        return []
    now = time.time()
    removed = list(_unrecorded(config.jobs_directory, before or now - YOUNG_SECONDS))
    removed += _unwritten(config, now - YOUNG_SECONDS)
    for root in config.output_roots:
        for folder in _folders(root):
            removed += _staged(folder, config, now - STAGED_SECONDS)
    return removed


def _unrecorded(jobs_directory: Path, before: float) -> Iterator[Path]:
    """Remove directories of attempts whose worker died before their plan was whole: nothing of
    them was started. ``before``: last changed before that Unix time."""
    owner = jobs_directory.stat().st_uid
    for path in sorted(jobs_directory.iterdir()):
        if not _ATTEMPT.match(path.name) or (path / "plan.json").exists():
            continue
        try:
            left = (path / OVER).exists()  # its worker tried to remove it, and could not
            if left or _is_dead(path.lstat(), stat.S_IFDIR, owner, before):
                clear_leftover(path)
                yield path
        except OSError as error:
            _tell(error)
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # another version's plan
            log.warning("not_cleaned", path=str(path), reason=str(error))


def _unwritten(config: Config, before: float) -> Iterator[Path]:
    """Remove requests and answers whose writer died before they were whole."""
    owner = config.jobs_directory.stat().st_uid
    for path in sorted(config.control_directory.glob(".*")):
        try:
            if control.UNWRITTEN.match(path.name) and _is_dead(
                path.lstat(), stat.S_IFREG, owner, before
            ):
                path.unlink()
                yield path
        except OSError as error:
            _tell(error)


def _folders(root: Path) -> list[Path]:
    """The folder that ``root`` is, or those of all tenants that there are."""
    if FOLDER not in root.parts:
        return [root]
    pattern = Path(*("*" if part == FOLDER else glob.escape(part) for part in root.parts))
    return [Path(found) for found in sorted(glob.glob(str(pattern)))]  # noqa: PTH207 - absolute


def _staged(root: Path, config: Config, before: float) -> Iterator[Path]:
    """Outputs that were being written, below one root, by attempts that this machine does not
    know; records of jobs of which nothing was heard any more; and the folders for both, if they are
    empty. Each name is used in the folder that was opened, and no link is gone through."""
    owner = config.jobs_directory.stat().st_uid
    for entry in entries(root.resolve(), _tell):
        match = STAGED_NAME.match(entry.name)
        known = match is not None and (config.jobs_directory / match["attempt"]).exists()
        folder = entry.is_folder and FOLDERS.match(entry.name) is not None
        if known or not (match or folder or RECORD_NAME.match(entry.name)):
            continue
        try:
            kind, remove = (stat.S_IFDIR, os.rmdir) if folder else (stat.S_IFREG, os.unlink)
            if _is_dead(entry.found, kind, owner, before):
                path = Path(f"/proc/self/fd/{entry.folder}").readlink() / entry.name
                remove(entry.name, dir_fd=entry.folder)
                yield path
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                _tell(error)


def _is_dead(found: os.stat_result, kind: int, owner: int, before: float) -> bool:
    ours = stat.S_IFMT(found.st_mode) == kind and found.st_uid == owner
    return ours and found.st_mtime < before


def _tell(error: OSError) -> None:
    log.warning("not_cleaned", path=str(error.filename), reason=error.strerror)
