"""The attempt's directory: what must survive the worker is here before anything is started.

``plan.json`` is written by the worker first; ``holder.json``, ``released``, ``log``,
``probe.json`` and ``facts.json`` by the holder; ``held.json`` has limits that changed since,
``stop`` who asked for an end, ``scope`` what systemd said of it; ``lease`` until when a stream is
ours; ``delivered`` that the output
is about to get its name; ``outcome.json`` is written before the outcome is reported.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from ffmpeg_jobs.model import Outcome
from ffmpeg_jobs.wire import from_json, to_json
from ffmpeg_worker import untrusted
from ffmpeg_worker.limits import HeldLimits
from ffmpeg_worker.pidfd import has_ended
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.progress import MAPPING
from ffmpeg_worker.tree import remove_tree

#: ffmpeg's log is kept whole up to the holder's limit; this much of its end is reported.
TAIL_BYTES = 8192
#: What ffprobe says of a file is some KB; it may have been led to say more.
PROBE_BYTES = 1 << 20

#: pidfd_open(2) where nothing has the number; or a thread has it now, older and newer kernels.
_NO_PROCESS: Final = (errno.ESRCH, errno.EINVAL, errno.ENOENT)

log = structlog.get_logger()


@dataclass(frozen=True)
class HolderFacts:
    """What the holder wrote at the end."""

    exit_status: int
    terminated: bool
    wall_seconds: float
    counters: Mapping[str, str]


def record(plan: Plan) -> None:
    """Write the plan down, for the next worker. Raises OSError, and then nothing is left of it."""
    directory = Path(plan.directory)
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.mkdir(mode=0o700)
    try:
        (directory / "work").mkdir(mode=0o700)
        _write(directory, "plan.json", to_json(plan), durable=False)
    except OSError:
        remove(directory)
        raise


def record_anew(plan: Plan) -> None:
    """Write down that it is carried out so, and not as it was recorded. Raises OSError."""
    _write(Path(plan.directory), "plan.json", to_json(plan), durable=False)


def bring_to_disk(plan: Plan) -> None:
    """Have the plan outlive a loss of power. Takes as long as the disk does; raises OSError."""
    directory = Path(plan.directory)
    sync(directory / "plan.json")
    sync(directory)


def recorded(jobs_directory: Path) -> list[Plan]:
    """The plans that were written down, oldest first.

    One that cannot be read (another version's, or a disk's damage) is set aside and logged: its
    attempt cannot go on, and its lease will run out.
    """
    found = []
    for path in jobs_directory.glob("*.*/plan.json"):
        with suppress(FileNotFoundError):  # its attempt is just being forgotten
            found.append((path.stat().st_mtime, path))
    plans = []
    for _, path in sorted(found):
        try:
            plans.append(reopen(path.parent))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            with suppress(FileNotFoundError):
                path.replace(path.with_name("plan.unreadable"))
                log.error("plan_unreadable", path=str(path), reason=str(error))
    return plans


def reopen(directory: Path, name: str = "plan.json") -> Plan:
    """The plan that was recorded. Raises AttributeError, KeyError, TypeError or ValueError if it
    is none."""
    return from_json(Plan, _read(directory, name) or {})


def was_released(plan: Plan) -> bool:
    """Whether the holder was let go: ffmpeg may have run."""
    return (Path(plan.directory) / "released").exists()


def holder_pid(plan: Plan) -> int | None:
    """The holder's pid, as it wrote it; it may have ended."""
    identity = _read(Path(plan.directory), "holder.json")
    return None if identity is None else int(identity["pid"])


def holder_pidfd(plan: Plan) -> int | None:
    """A pidfd of the holder, if the very process that wrote holder.json still has work to do."""
    identity = _read(Path(plan.directory), "holder.json")
    if identity is None or holder_facts(plan) is not None:
        return None
    try:
        pidfd = os.pidfd_open(identity["pid"])
    except OSError as error:
        if error.errno not in _NO_PROCESS:
            raise
        return None
    if has_ended(pidfd) or _start_ticks(identity["pid"]) != identity["start_ticks"]:
        os.close(pidfd)
        return None
    return pidfd


def holder_age_seconds(plan: Plan) -> float:
    """How long ago the holder started, suspend included; 0 before it did."""
    identity = _read(Path(plan.directory), "holder.json")
    if identity is None:
        return 0.0
    begun = int(identity["start_ticks"]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - begun


def holder_ended(plan: Plan) -> bool:
    """Whether the holder, which was let go, has ended."""
    pidfd = holder_pidfd(plan)
    if pidfd is not None:
        os.close(pidfd)
    return pidfd is None


def keep_held(plan: Plan, held: HeldLimits) -> None:
    """Write changed limits down, before they are brought to the scope."""
    _write(Path(plan.directory), "held.json", to_json(held))


def held(plan: Plan) -> HeldLimits:
    """The limits that the attempt is held to: the plan's, or those that changed since."""
    changed = _read(Path(plan.directory), "held.json")
    return plan.held if changed is None else from_json(HeldLimits, changed)


def holder_facts(plan: Plan) -> HolderFacts | None:
    """How it ended, as the holder saw it; None where the holder was killed too."""
    facts = _read(Path(plan.directory), "facts.json")
    return None if facts is None else from_json(HolderFacts, facts)


def probed(plan: Plan) -> str:
    """ffprobe's JSON about the staged output; empty where it could not read it."""
    return untrusted.head(Path(plan.directory) / "probe.json", PROBE_BYTES)


def tail(plan: Plan, name: str, size_bytes: int = TAIL_BYTES) -> str:
    """The end of what a job wrote: "log", or "work/progress"."""
    return untrusted.tail(Path(plan.directory) / name, size_bytes)


def preamble(plan: Plan, most_bytes: int) -> str:
    """The beginning of ffmpeg's log: what it says of the input, before it begins to encode.

    An input may have thousands of chapters, and metadata of any length.
    """
    return untrusted.until(Path(plan.directory) / "log", MAPPING, most_bytes)


def note_stop(plan: Plan, by: str) -> None:
    """Remember who asked for the end, before the scope is stopped."""
    _note(plan, "stop", {"by": by})


def stop_noted(plan: Plan) -> str | None:
    """Who asked for the end, if anyone."""
    noted = _read(Path(plan.directory), "stop")
    return None if noted is None else str(noted["by"])


def keep_scope_result(plan: Plan, result: str) -> None:
    """Remember systemd's Result of the scope, before the scope is forgotten."""
    _note(plan, "scope", {"result": result})


def scope_result(plan: Plan) -> str | None:
    """systemd's Result of the scope, if an earlier worker asked for it."""
    kept = _read(Path(plan.directory), "scope")
    return None if kept is None else str(kept["result"])


def keep_outcome(plan: Plan, outcome: Outcome) -> None:
    """Write the outcome down, so that it is reported even by the next worker.

    What follows from the holder's facts, which are on disk, follows from them again.
    """
    follows = (Path(plan.directory) / "facts.json").exists()
    _note(plan, "outcome.json", to_json(outcome), durable=not follows)


def note_delivery(plan: Plan) -> None:
    """Remember that the staged output is about to get its name. Raises OSError.

    Its disk may be another one: a second name for a file needs no room on a full one here.
    """
    directory = Path(plan.directory)
    try:
        os.link(directory / "plan.json", directory / "delivered")
    except FileExistsError:
        return
    except OSError:  # a file system without links
        _write(directory, "delivered", {})
    sync(directory)


def was_delivered(plan: Plan) -> bool:
    """Whether the staged output, if it is gone, got its name."""
    return (Path(plan.directory) / "delivered").exists()


def was_published(plan: Plan) -> bool:
    """Whether the output certainly got its name, also by an earlier worker."""
    gone = plan.publish_to is not None and not Path(str(plan.staged)).exists()
    return gone and was_delivered(plan)


def withdraw_delivery(plan: Plan) -> None:
    """Remember that the staged output, which goes away, did not get its name. Raises OSError."""
    directory = Path(plan.directory)
    if was_delivered(plan) and Path(str(plan.staged)).exists():
        (directory / "delivered").unlink()
        sync(directory)


def is_concluded(plan: Plan) -> bool:
    """Whether nothing of the attempt is written any more: ffmpeg has ended, its outcome is known,
    or all of it goes away (``remove``)."""
    directory = Path(plan.directory)
    over = any((directory / name).exists() for name in ("facts.json", "outcome.json"))
    return over or not (directory / "plan.json").exists()


def keep_lease(plan: Plan, until: float) -> None:
    """Remember how long the attempt is ours, in boot seconds: the worker may be another by then,
    but not the machine."""
    _note(plan, "lease", {"until": until}, durable=False)


def kept_lease(plan: Plan) -> float:
    """Until when the attempt is ours, as an earlier worker heard it last; 0: it told nothing."""
    kept = _read(Path(plan.directory), "lease")
    return 0.0 if kept is None else float(kept["until"])


def kept_outcome(plan: Plan) -> Outcome | None:
    """The outcome that an earlier worker wrote down, if it came that far."""
    outcome = _read(Path(plan.directory), "outcome.json")
    return None if outcome is None else from_json(Outcome, outcome)


def remove(directory: Path) -> None:
    """Forget an attempt. plan.json goes first, so that a half-removed one is never adopted."""
    (directory / "plan.json").unlink(missing_ok=True)
    with suppress(OSError):  # the timer's cleaning tries again
        remove_tree(directory)


def _start_ticks(pid: int) -> int | None:
    text = _text(Path(f"/proc/{pid}/stat"))
    return int(text.rpartition(")")[2].split()[19]) if text else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _read(directory: Path, name: str) -> dict[str, Any] | None:
    """The object in a file; None where there is none, or the machine lost its power over it."""
    try:
        content: dict[str, Any] = json.loads((directory / name).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return content


def _note(plan: Plan, name: str, content: object, *, durable: bool = True) -> None:
    """Write down what this process knows anyway: a full disk must not hold up a job's end."""
    try:
        _write(Path(plan.directory), name, content, durable=durable)
    except OSError as error:
        log.warning("not_written_down", job=plan.claim.job_id, file=name, reason=error.strerror)


def _write(directory: Path, name: str, content: object, *, durable: bool = True) -> None:
    """A file that is there whole or not at all; ``durable``: on disk when this returns."""
    temporary = directory / f".{name}.new"
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content))
        file.flush()
        if durable:
            os.fsync(file.fileno())
    temporary.replace(directory / name)
    if durable:
        sync(directory)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk (fsync(2)). Raises OSError."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
