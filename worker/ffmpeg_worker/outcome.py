"""Step 6: what is known of an attempt's end becomes its outcome. Pure.

``RULES`` is read from the top, and the first that holds decides: who asked for a stop counts
before what the kernel did, the kernel before ffmpeg, ffmpeg's own words before its status.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ffmpeg_jobs.model import Outcome, Reason, State, Usage

#: Fewer percent free than this, and a failed write means a full disk.
FULL_PERCENT: Final = 1.0


class AttemptError(Exception):
    """A step of an attempt could not be done. The message is the sentence that people read."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Facts:
    """All that is known when an attempt has ended."""

    exit_status: int | None  #: ffmpeg's; -N: ended by signal N; None: nobody was left to see it
    scope_result: str | None  #: systemd's Result of the scope; None: not known any more
    oom_kills: int = 0  #: oom_kill in memory.events
    timed_out: bool = False  #: it ran for all of its time
    stop_asked_by: str | None = None  #: cancel, lost, disk, drain or shutdown
    stderr_tail: tuple[str, ...] = ()  #: ffmpeg's last lines, at most 20
    usage: Usage = field(default_factory=Usage)
    disk_free_percent: float | None = None
    enforced: bool = True
    memory_limit_mb: int = 0
    timeout_sec: int = 0


@dataclass(frozen=True)
class Rule:
    """When it holds, that was the reason, and this is the sentence."""

    holds: Callable[[Facts], bool]
    reason: Reason | None  #: None: it completed
    sentence: Callable[[Facts], str]


def _says(pattern: str) -> Callable[[Facts], bool]:
    """ffmpeg failed, and one of its last lines matches."""
    found = re.compile(pattern)
    return lambda f: f.exit_status != 0 and any(found.search(li) for li in f.stderr_tail)


def _line(pattern: str, words: str) -> Callable[[Facts], str]:
    """``words`` and the first line that matches, without ffmpeg's addresses in memory."""
    found = re.compile(pattern)

    def sentence(facts: Facts) -> str:
        line = next((li for li in facts.stderr_tail if found.search(li)), "")
        return f"{words}: {_clean(line)}"

    return sentence


def _clean(line: str) -> str:
    return re.sub(r"\[[\w,-]+ @ 0x[0-9a-f]+\] *", "", line).strip()


def _last_words(facts: Facts) -> str:
    """ffmpeg's own last line that says something."""
    lines = [_clean(li) for li in facts.stderr_tail if li.strip() and "Conversion failed" not in li]
    how = (
        f"signal {-facts.exit_status}"
        if facts.exit_status is not None and facts.exit_status < 0
        else f"exit status {facts.exit_status}"
    )
    return f"ffmpeg failed with {how}" + (f": {lines[-1]}" if lines else "")


def _told(pattern: str, reason: Reason, words: str) -> Rule:
    return Rule(_says(pattern), reason, _line(pattern, words))


#: The wording is that of ffmpeg 5.1 and 7.1 (libavutil/error.c, fftools), and strerror(3).
RULES: Final = (
    Rule(
        lambda f: f.stop_asked_by in ("cancel", "lost"),
        Reason.CANCELED,
        lambda f: "canceled",
    ),
    Rule(
        lambda f: f.stop_asked_by == "disk",
        Reason.DISK_FULL,
        lambda f: "stopped because it used more disk than max_disk_mb",
    ),
    Rule(
        lambda f: f.stop_asked_by is not None,
        Reason.WORKER_LOST,
        lambda f: f"stopped, because the worker was asked to ({f.stop_asked_by})",
    ),
    Rule(
        lambda f: f.exit_status == 0,
        None,
        lambda f: "",
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
    Rule(
        lambda f: (
            _says("No space left on device|Disk quota exceeded")(f)
            or (f.exit_status not in (0, None) and (f.disk_free_percent or 100) < FULL_PERCENT)
        ),
        Reason.DISK_FULL,
        lambda f: "the disk is full",
    ),
    Rule(
        lambda f: f.exit_status in (-9, -15),
        Reason.WORKER_LOST,
        lambda f: f"somebody on the machine ended it with signal {-(f.exit_status or 0)}",
    ),
    Rule(
        lambda f: f.exit_status is None,
        Reason.WORKER_LOST,
        lambda f: "it was killed from outside, or its machine was restarted",
    ),
    Rule(
        lambda f: f.exit_status == 127,
        Reason.INTERNAL_ERROR,
        lambda f: "the sandbox or ffmpeg could not be started on this machine",
    ),
    _told("^bwrap: ", Reason.INTERNAL_ERROR, "the sandbox could not be set up"),
    _told(
        "Connection refused|Connection reset|Connection timed out|Network is unreachable|"
        "Host is unreachable|Broken pipe|Failed to resolve hostname|Input/output error$|"
        "Server returned 5|Operation timed out|Cannot open connection|RTMP_",
        Reason.NETWORK_ERROR,
        "the network failed",
    ),
    _told(
        "Unknown encoder|Unrecognized option|Error setting option|Undefined constant|"
        "Unable to parse option|Invalid encoder type|Option not found",
        Reason.ENCODER_ERROR,
        "ffmpeg refused the parameters",
    ),
    _told(
        "Cannot load libcuda|No NVENC capable|No capable devices|OpenEncodeSessionEx failed|"
        "Failed to initialise VAAPI|No VA display|Device creation failed|"
        "Failed to set value .* for option '(vaapi|qsv)_device'|"
        "Error creating a MFX session|DLL amfrt",
        Reason.ENCODER_ERROR,
        "the encoder has no device on this machine",
    ),
    _told(
        "No such file or directory|Invalid data found when processing input|"
        "Permission denied|moov atom not found|Server returned 4|"
        "does not contain any stream|matches no streams|could not find codec parameters|"
        "Protocol .* not on whitelist|End of file",
        Reason.INPUT_ERROR,
        "the input cannot be read",
    ),
    Rule(
        lambda f: True,
        Reason.ENCODER_ERROR,
        _last_words,
    ),
)


def conclude(facts: Facts) -> Outcome:
    """The outcome that the facts add up to. A completed one is still to be verified."""
    rule = next(rule for rule in RULES if rule.holds(facts))
    if rule.reason is None:
        state = State.COMPLETED
    else:
        state = State.CANCELED if rule.reason is Reason.CANCELED else State.FAILED
    return Outcome(
        state=state,
        reason=rule.reason,
        error=rule.sentence(facts) or None,
        log_tail=() if rule.reason is None else facts.stderr_tail,
        exit_status=facts.exit_status,
        usage=facts.usage,
        enforced=facts.enforced,
    )


def outcome_of_error(error: AttemptError) -> Outcome:
    """The outcome of an attempt that a step of ours had to give up."""
    state = State.CANCELED if error.reason is Reason.CANCELED else State.FAILED
    return Outcome(state=state, reason=error.reason, error=str(error))
