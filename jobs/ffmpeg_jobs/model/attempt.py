"""One try at a job: its claim, how it goes, how it ended; and the job as the API shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ffmpeg_jobs.model.job import Job, Reason, State


@dataclass(frozen=True)
class Terms:
    """How a running attempt is held; what of it can change while it runs."""

    paused: bool = False  #: frozen: it is there and gets no CPU
    max_cpu_percent: int | None = None  #: None: asked: as it began; in force: no limit
    max_memory_mb: int | None = None  #: likewise


@dataclass(frozen=True)
class Claim:
    """One attempt at a job, handed to one worker under a lease."""

    job_id: str
    attempt: int  #: counts up from 1; the fencing token's public part
    token: str  #: its secret part
    lease_seconds: float
    job: Job
    tenant: str | None = None  #: whose the job is; None: an older master does not say


@dataclass(frozen=True)
class Progress:
    """How far ffmpeg is."""

    percent: float | None = None  #: of the expected duration, 0 to 100
    frame: int = 0
    fps: float = 0.0
    speed: float | None = None  #: media seconds per second
    out_time_seconds: float = 0.0
    size_bytes: int = 0
    eta_seconds: float | None = None


@dataclass(frozen=True)
class Usage:
    """What an attempt used, as the kernel counted it for its cgroup."""

    cpu_seconds: float | None = None
    cpu_user_seconds: float | None = None
    cpu_system_seconds: float | None = None
    throttled_seconds: float | None = None  #: time the CPU limit held it back
    memory_peak_bytes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    wall_seconds: float | None = None


@dataclass(frozen=True)
class Media:
    """A verified output, as ffprobe reads it."""

    size_bytes: int
    duration_seconds: float | None = None
    format: str | None = None
    video: str | None = None  #: "h264 1280x720 24 fps"
    audio: str | None = None  #: "aac 48000 Hz stereo"
    input_duration_seconds: float | None = None
    input_size_bytes: int | None = None
    compression_ratio: float | None = None  #: bytes per second over the input's; 0.5: half
    frames: int | None = None
    average_speed: float | None = None  #: media seconds per second


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended."""

    state: State  #: completed, failed or canceled
    reason: Reason | None = None
    error: str | None = None  #: a sentence that a person can act on
    log_tail: tuple[str, ...] = ()  #: the last lines of ffmpeg, at most 20
    exit_status: int | None = None  #: ffmpeg's; negative: the signal that ended it
    usage: Usage = Usage()
    media: Media | None = None
    #: False: this machine could not hold it to its limits; None: it did not run, or nobody knows
    enforced: bool | None = None
    final: bool | None = None  #: True: whatever the reason, another try would end the same way


@dataclass(frozen=True)
class Result:
    """How an attempt ended, told by who held it."""

    job_id: str
    attempt: int
    token: str
    outcome: Outcome
    log: str | None = None  #: ffmpeg's, if it is short; a long one is sent before


@dataclass(frozen=True)
class Refused:
    """A result that is not wanted: the attempt was not its worker's any more."""

    job_id: str
    attempt: int
    detail: str  #: for people


@dataclass(frozen=True)
class Claimed:
    """What a claim brought: jobs, and which of the results that came with it are not wanted."""

    claims: tuple[Claim, ...]
    refused: tuple[Refused, ...]


@dataclass(frozen=True)
class AttemptStatus:
    """One attempt of a job, as the API shows it."""

    attempt: int
    worker: str
    started_at: str  #: RFC 3339, UTC: when it was handed out
    ended_at: str | None = None
    given_back: bool = False  #: it was not made, and counts as no try
    outcome: Outcome | None = None  #: None: it goes on, or was given back


class CallbackState(str, Enum):
    """Whether a webhook arrived."""

    PENDING = "pending"  #: it is sent, or will be tried again
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"  #: nobody took it in time


@dataclass(frozen=True)
class Callback:
    """What a job's callback_url was told last."""

    id: str  #: the webhook-id
    type: str  #: as job.completed
    timestamp: str  #: RFC 3339, UTC: when that was
    state: CallbackState
    tries: int = 0
    last_error: str | None = None


@dataclass(frozen=True)
class JobStatus:
    """A job as the API shows it."""

    id: str
    state: State
    job: Job
    created_at: str  #: RFC 3339, UTC
    updated_at: str
    attempt: int = 0  #: 0: never claimed
    worker: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    cancel_requested: bool = False
    pause_requested: bool = False
    in_force: Terms | None = None  #: as the kernel of its worker has it; None: it does not run
    unmet: str | None = None  #: why limits or pause, as they were asked, are not in force
    waiting_for: str | None = None  #: what a queued job waits for; told where one job is shown
    reason: Reason | None = None
    error: str | None = None
    log_tail: tuple[str, ...] = ()
    exit_status: int | None = None
    progress: Progress | None = None
    usage: Usage | None = None
    media: Media | None = None
    enforced: bool | None = None
    #: Of the attempts, since the job was retried; they do not count against max_attempts.
    given_back: int = 0
    max_attempts: int | None = None  #: the job's, beside all attempts before it was retried
    awaited: bool = False  #: other jobs depend on it and have not started
    callback: Callback | None = None  #: told where one job is shown
    tenant: str | None = None  #: whose it is
