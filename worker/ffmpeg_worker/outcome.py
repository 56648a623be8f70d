"""Step 6: what is known of an attempt's end becomes its outcome. Pure.

``RULES`` is read from the top, and the first that holds decides: who asked for a stop counts
before what the kernel did, the kernel before ffmpeg, ffmpeg's own words before its status.
The status says little: 1 in ffmpeg 5.1, in 7.1 the lowest byte of its error code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from ffmpeg_jobs.model import Outcome, Reason, State
from ffmpeg_worker.facts import Facts, complaints, was_killed

#: Fewer percent free than this, and a failed write means a full disk.
FULL_PERCENT: Final = 1.0
#: What a result may carry: contract.OUTCOME.
TAIL_LINES: Final = 20
LINE_CHARACTERS: Final = 2000
ERROR_CHARACTERS: Final = 4096
#: Who has an attempt stopped that is then given back: it was not its fault, and not its end.
HANDED_BACK: Final = {
    "drain": "the worker was drained",
    "spot": "the cloud takes the machine back",
    "stop-jobs": "all jobs of the machine were stopped",
    "shutdown": "the machine was shut down",
    "unstarted": "the process that was to hold it ended before ffmpeg started",
    "sick": "its worker can start no job now",
    "untaken": "what an earlier attempt left in the output's place is no whole output",
    "unsure": "its worker was cut off from the master, and another may send the stream now",
}


class AttemptError(Exception):
    """A step of an attempt could not be done. The message is the sentence that people read.

    ``stopped_by``: who wanted it so, if it was given up for that, as in Facts. ``final``: another
    try would end the same way, wherever.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        stopped_by: str | None = None,
        *,
        final: bool = False,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.stopped_by = stopped_by
        self.final = final


@dataclass(frozen=True)
class Rule:
    """When it holds, that was the reason, and this is the sentence."""

    holds: Callable[[Facts], bool]
    reason: Reason | None  #: None: it completed
    sentence: Callable[[Facts], str]
    final: bool = False  #: another try would end the same way


def _told(reason: Reason, words: str, pattern: str) -> Rule:
    """A rule that holds where a complaint matches; the sentence is ``words`` and the complaint."""
    search = re.compile(pattern).search
    return Rule(
        lambda f: any(search(line) for line in complaints(f)),
        reason,
        lambda f: f"{words}: {next(line for line in complaints(f) if search(line))}",
    )


def _is_full(facts: Facts) -> bool:
    free = facts.disk_free_percent
    told = any(re.search(_FULL, line) for line in complaints(facts))
    return told or (free is not None and free < FULL_PERCENT)


_FULL: Final = "No space left on device|Disk quota exceeded"
#: A volume that fails: what write(2), open(2) and their like say of it.
_FAILING: Final = (
    "Input/output error|Read-only file system|Permission denied|Operation not permitted|"
    "Stale file handle|File too large|No such device|Transport endpoint is not connected"
)
#: ffmpeg 5.1 says it of the last that it writes, and still ends with 0.
_UNFINISHED: Final = r"^Error (writing trailer|closing file)\b(?!.*\brtmps?://).*: "
_UNWRITTEN: Final = (
    rf"({_UNFINISHED}|^av_interleaved_write_frame\(\): |^Error muxing a packet: |"
    rf"^Error submitting a packet to the muxer: |output: |output file.*: )({_FAILING})"
)


def _unfinished(reason: Reason, words: str, cause: str) -> Rule:
    """A rule for what ended with 0 and was cut short for that cause."""
    told = _told(reason, words, rf"{_UNFINISHED}({cause})")
    return replace(told, holds=lambda f: f.exit_status == 0 and told.holds(f))


def _overuse(facts: Facts) -> str:
    if facts.disk_used_mb is None:  # it had not begun
        return "stopped because it used more disk than max_disk_mb"
    return (
        f"stopped because it used {facts.disk_used_mb} MB of disk, and its max_disk_mb is "
        f"{facts.disk_limit_mb} MB; raise max_disk_mb, or encode at a lower bitrate"
    )


def _last_words(facts: Facts) -> str:
    """ffmpeg's first complaint is the cause, what follows are consequences."""
    status = facts.exit_status or 0
    how = f"crashed with signal {-status}" if status < 0 else f"failed with exit status {status}"
    return ": ".join([f"ffmpeg {how}", *complaints(facts)[:1]])


#: The words are those of ffmpeg 5.1 and 7.1, bwrap(1) and strerror(3).
RULES: Final = (
    Rule(lambda f: f.stop_asked_by in ("cancel", "lost"), Reason.CANCELED, lambda f: "canceled"),
    Rule(lambda f: f.stop_asked_by == "disk", Reason.DISK_FULL, _overuse, final=True),
    _unfinished(Reason.DISK_FULL, "the disk is full", _FULL),
    _unfinished(Reason.OUTPUT_ERROR, "this machine could not store the output", _FAILING),
    # It ended well just before the stop reached it.
    Rule(lambda f: f.exit_status == 0, None, lambda f: ""),
    Rule(
        lambda f: f.stop_asked_by == "volume",
        Reason.DISK_FULL,
        lambda f: "stopped because the volume that it writes to was nearly full",
    ),
    Rule(
        lambda f: f.stop_asked_by is not None,
        Reason.WORKER_LOST,
        lambda f: f"stopped because {HANDED_BACK.get(str(f.stop_asked_by), f.stop_asked_by)}",
    ),
    Rule(
        lambda f: f.oom_kills > 0 and not f.met_its_limit,
        Reason.WORKER_LOST,
        lambda f: (
            "the kernel ended it because the machine, or all its jobs together, ran out of memory; "
            f"its own limit of {f.memory_limit_mb} MB was not reached"
        ),
    ),
    Rule(
        lambda f: f.oom_kills > 0 or f.scope_result == "oom-kill",
        Reason.OUT_OF_MEMORY,
        lambda f: (
            f"the kernel ended it at its limit of {f.memory_limit_mb} MB of memory; "
            "raise max_memory_mb, or encode a smaller picture"
        ),
    ),
    Rule(
        lambda f: f.timed_out or f.scope_result == "timeout",
        Reason.TIMEOUT,
        lambda f: (
            f"it was ended after {f.timeout_sec} seconds; raise timeout_sec, or use a faster preset"
        ),
    ),
    Rule(_is_full, Reason.DISK_FULL, lambda f: "the disk is full"),
    Rule(
        was_killed,
        Reason.WORKER_LOST,
        lambda f: (
            "somebody on the machine ended it with signal "
            f"{9 if f.exit_status == -9 else 15}; neither a limit nor the worker did"
        ),
    ),
    Rule(
        lambda f: f.exit_status is None,
        Reason.WORKER_LOST,
        lambda f: "it was killed from outside, or its machine was restarted",
    ),
    Rule(
        lambda f: f.exit_status == 127,
        Reason.INTERNAL_ERROR,
        lambda f: "the sandbox (bwrap) could not be started on this machine",
    ),
    _told(Reason.INTERNAL_ERROR, "the sandbox could not be set up", "^bwrap: "),
    # Without a cgroup (manager = "none") the limit is felt as a refused allocation.
    _told(
        Reason.OUT_OF_MEMORY,
        "it got no more memory; raise max_memory_mb, or encode a smaller picture",
        "Cannot allocate memory|malloc of size [0-9]+ failed|Out of memory",
    ),
    _told(
        Reason.NETWORK_ERROR,
        "the network failed",
        "Connection (refused|reset|timed out)|(Network is|Host is) unreachable|No route to host|"
        "Operation timed out|Broken pipe|Failed to resolve hostname|Cannot open connection|"
        "RTMP handshake|Server error: |rtmps?://.*(Input/output error|End of file)",
    ),
    _told(
        Reason.ENCODER_ERROR,
        "the encoder has no device on this machine",
        "Cannot load (lib)?(cuda|nvcuda|nvidia-encode|amfrt)|No NVENC capable|No capable devices|"
        "OpenEncodeSessionEx failed|No VA display|Failed to initialise VAAPI|"
        "Error creating a MFX session|DLL amfrt|option '(vaapi|qsv)_device'",
    ),
    _told(
        Reason.ENCODER_ERROR,
        "ffmpeg refused the parameters",
        "Unknown encoder|Unrecognized option|Option not found|Error setting (option|preset)|"
        "Undefined constant|Unable to parse|is unsupported|not supported|are supported|"
        "Error parsing|not currently supported in container|Could not write header|"
        "Unsupported (codec|audio|video)|[Ii]nvalid (preset|tune|profile)",
    ),
    _told(
        Reason.OUTPUT_ERROR,
        "this machine could not store the output",
        f"Read-only file system|output: No such file|{_UNWRITTEN}",
    ),
    _told(
        Reason.INPUT_ERROR,
        "the input cannot be read",
        "No such file or directory|Invalid data found when processing input|Permission denied|"
        "moov atom not found|does not contain any stream|matches no streams|"
        "[Cc]ould not find codec parameters|not on whitelist|Unsafe file name|Input/output error",
    ),
    Rule(lambda f: True, Reason.ENCODER_ERROR, _last_words),
)


def conclude(facts: Facts) -> Outcome:
    """The outcome that the facts add up to. A completed one is still to be verified."""
    rule = next(rule for rule in RULES if rule.holds(facts))
    return Outcome(
        state=_state(rule.reason),
        reason=rule.reason,
        error=_cut(rule.sentence(facts), ERROR_CHARACTERS) or None,
        log_tail=() if rule.reason is None else _last_lines(facts),
        exit_status=facts.exit_status,
        usage=facts.usage,
        enforced=facts.enforced,
        final=rule.final or None,
    )


def given_up(facts: Facts, error: AttemptError) -> Outcome:
    """The outcome of an encode that ended well, and that a step after it had to give up."""
    return replace(
        outcome_of_error(error),
        enforced=facts.enforced,
        log_tail=_last_lines(facts),
        exit_status=facts.exit_status,
        usage=facts.usage,
    )


def _last_lines(facts: Facts) -> tuple[str, ...]:
    return tuple(_cut(line, LINE_CHARACTERS) for line in facts.stderr_tail[-TAIL_LINES:])


def stopped(by: str) -> AttemptError:
    """What it is to be stopped by somebody while ffmpeg does not run."""
    outcome = conclude(Facts(None, None, stop_asked_by=by))
    final = outcome.final is True
    return AttemptError(outcome.reason or Reason.CANCELED, str(outcome.error), by, final=final)


def outcome_of_error(error: AttemptError) -> Outcome:
    """The outcome of an attempt that a step of ours had to give up."""
    return Outcome(
        state=_state(error.reason),
        reason=error.reason,
        error=_cut(str(error), ERROR_CHARACTERS),
        final=error.final or None,
    )


def _state(reason: Reason | None) -> State:
    if reason is None:
        return State.COMPLETED
    return State.CANCELED if reason is Reason.CANCELED else State.FAILED


def _cut(text: str, characters: int) -> str:
    return text.replace("\0", "")[:characters]
