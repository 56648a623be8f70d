"""An output while it is written: a file in a folder of ours, on the volume that it goes to.

The folder lies beside the output's place and is closed to all others, so that nobody runs as us
what a job made of its file. What the output's place lacks of folders is made for it; if the attempt
comes to nothing, it goes again. What a machine could not remove, its cleaning tries again.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from ffmpeg_jobs.model import Reason
from ffmpeg_worker import jobdir, marks
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.renaming import Name
from ffmpeg_worker.rights import STAGING_FOLDER, of_folder
from ffmpeg_worker.tree import remove_tree
from ffmpeg_worker.trouble import output_trouble
from ffmpeg_worker.walk import Outside, by_descriptor, enter, reach

#: Another attempt may just remove an empty folder that we are about to use.
_TRIES: Final = 8
#: In an attempt's directory: the folders that were made for it, and the plan of one that is over
#: and left something on a volume that could not be written.
MADE: Final = "made"
OVER: Final = "plan.over"
#: A worker's folder for outputs; of which account, the number says.
FOLDERS: Final = re.compile(r"\.ffmpeg-worker-[0-9]{1,10}\Z")

log = structlog.get_logger()


def stage(plan: Plan, source: int | None) -> int:
    """Make the empty file that the sandbox will see as its output; a descriptor of O_PATH.

    ``source``: of the input, which the output must not be. Raises AttemptError.
    """
    staged = Path(str(plan.staged))
    try:
        if plan.publish_to is None:
            return _create(plan.directory, (plan.directory,), staged.name)
        return _stage_beside(plan, staged, source)
    except OSError as error:
        raise output_trouble(error, f"output: cannot write in {staged.parent}") from None
    except Outside as place:
        raise outside(plan, place) from None


def outside(plan: Plan, place: Outside) -> AttemptError:
    """What it is if the output's place is in no root."""
    words = f"output: {plan.publish_to} leads to {place}, outside of the allowed folders"
    return AttemptError(Reason.OUTPUT_ERROR, words, final=True)


def _stage_beside(plan: Plan, staged: Path, source: int | None) -> int:
    for _ in range(_TRIES):
        around = enter(str(staged.parent.parent), plan.output_roots, lambda *at: _make(plan, *at))
        try:
            marks.check_free(Name(around, Path(str(plan.publish_to)).name), plan, source)
            with suppress(FileExistsError):
                os.mkdir(STAGING_FOLDER, 0o700, dir_fd=around)
            return _create(str(staged.parent), plan.output_roots, staged.name)
        except FileNotFoundError:
            continue
        finally:
            os.close(around)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _make(plan: Plan, folder: int, name: str, path: str) -> None:
    """A folder that an output's place lacks; written down before, so that it goes again."""
    with (Path(plan.directory) / MADE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(path) + "\n")
    try:
        os.mkdir(name, 0o755, dir_fd=folder)
    except FileExistsError:
        return
    made = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        of_folder(made, plan.rights)
    finally:
        os.close(made)


def _create(folder: str, roots: tuple[str, ...], name: str) -> int:
    here = reach(folder, roots)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(name, flags | os.O_CLOEXEC, 0o644, dir_fd=here)
        try:
            _check_ours(here, file, folder)
            return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
        finally:
            os.close(file)
    finally:
        os.close(here)


def _check_ours(folder: int, file: int, path: str) -> None:
    """The folder is whose the file is, which we just made, and closed to others. A volume that
    keeps no rights (CIFS, VFAT) runs nothing as its owner either."""
    found = os.fstat(folder)
    if found.st_uid != os.fstat(file).st_uid:
        raise PermissionError(errno.EACCES, f"another account made {path}")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        Path(by_descriptor(folder)).chmod(0o700)


def forget(plan: Plan) -> None:
    """Forget an attempt that is over. What cannot be removed now, ``clear_leftover`` removes."""
    try:
        if plan.staged is not None:
            jobdir.withdraw_delivery(plan)
        _unstage(plan)
    except OSError as error:
        log.warning("output_not_removed", path=plan.staged, reason=error.strerror)
        with suppress(OSError):
            leave(plan)
            return
    jobdir.remove(Path(plan.directory))


def leave(plan: Plan) -> None:
    """Keep of an attempt that is over what its leftover is found by. Raises OSError."""
    directory = Path(plan.directory)
    (directory / "plan.json").replace(directory / OVER)
    for name in ("work", "input", "output"):
        path = directory / name
        with suppress(OSError):
            remove_tree(path) if path.is_dir() else path.unlink()


def clear_leftover(directory: Path) -> None:
    """Remove what an attempt left, and its directory with it. Raises OSError."""
    over = directory / OVER
    if over.exists():
        _unstage(jobdir.reopen(directory, OVER))
    remove_tree(directory)


def _unstage(plan: Plan) -> None:
    """Remove the staged file if it is there, and then the folders that were made and are empty.
    Raises OSError where the file stays."""
    if plan.staged is None or plan.publish_to is None:
        return
    staged = Path(plan.staged)
    with suppress(FileNotFoundError, Outside):
        folder = reach(str(staged.parent), plan.output_roots)
        try:
            for name in (staged.name, marks.record_name(plan)):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)
    made = [json.loads(line) for line in _lines(Path(plan.directory) / MADE)]
    emptied = [str(staged.parent)] if FOLDERS.match(staged.parent.name) else []
    for path in [*emptied, *reversed(made)]:
        with suppress(OSError, Outside):  # not empty: others use it, or the output is there
            _remove_empty(path, plan.output_roots)


def _remove_empty(path: str, roots: tuple[str, ...]) -> None:
    around = reach(str(Path(path).parent), roots)
    try:
        os.rmdir(Path(path).name, dir_fd=around)
    finally:
        os.close(around)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
