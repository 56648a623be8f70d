"""The nouns that travel between client, master and worker.

Frozen values only: a noun is made once, by the room that owns it, and changed by
``dataclasses.replace``. Names of fields are the names on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class State(str, Enum):
    """Where a job stands. The first three are live, the last three are final."""

    QUEUED = "queued"  #: accepted and durable; waits for a worker, or for its next try
    RUNNING = "running"  #: a worker holds it under a lease
    PAUSED = "paused"  #: a worker holds it; its scope is frozen
    COMPLETED = "completed"  #: its output was verified and published
    FAILED = "failed"  #: it ended for the reason given and will not run again
    CANCELED = "canceled"  #: somebody asked for its end


FINAL_STATES = frozenset({State.COMPLETED, State.FAILED, State.CANCELED})


class Reason(str, Enum):
    """Why an attempt did not complete."""

    INPUT_ERROR = "input_error"  #: the input is missing, unreadable or not media
    ENCODER_ERROR = "encoder_error"  #: ffmpeg refused the parameters, or the encoder failed
    OUT_OF_MEMORY = "out_of_memory"  #: the kernel ended it at its memory limit
    TIMEOUT = "timeout"  #: it ran longer than timeout_sec
    DISK_FULL = "disk_full"  #: the volume had no room for it, or it outgrew max_disk_mb
    NETWORK_ERROR = "network_error"  #: a server refused, broke off or did not answer
    CANCELED = "canceled"  #: somebody asked for its end
    WORKER_LOST = "worker_lost"  #: its worker vanished, or somebody killed its processes
    INTERNAL_ERROR = "internal_error"  #: the machine could not run it as asked


#: Reasons that another try, best on another machine, can mend.
RETRIED_REASONS = frozenset({Reason.NETWORK_ERROR, Reason.WORKER_LOST, Reason.DISK_FULL})


class Queue(str, Enum):
    """Which line a job waits in, most urgent first."""

    LIVE = "live"  #: someone is watching
    DEFAULT = "default"  #: the usual
    BATCH = "batch"  #: whenever there is room


class Priority(str, Enum):
    """The order inside a queue."""

    HIGH = "high"  #: before medium
    MEDIUM = "medium"  #: the usual
    LOW = "low"  #: after medium


class Role(str, Enum):
    """What an API key may do."""

    READ = "read"  #: look at jobs and workers
    SUBMIT = "submit"  #: read, submit and cancel
    WORKER = "worker"  #: register, claim, report
    ADMIN = "admin"  #: everything


@dataclass(frozen=True)
class Limits:
    """What a job may use; ``None`` means the default of the worker that runs it."""

    max_cpu_percent: int | None = None  #: 100 is one core
    max_memory_mb: int = 2048  #: MiB
    max_disk_mb: int = 5000  #: MiB
    timeout_sec: int = 3600  #: seconds from the start of the scope


@dataclass(frozen=True)
class Terms:
    """How a running attempt is held; what of it can change while it runs."""

    paused: bool = False  #: frozen: it is there and gets no CPU
    max_cpu_percent: int | None = None  #: None: asked: as it began; in force: no limit
    max_memory_mb: int | None = None  #: likewise


@dataclass(frozen=True)
class Parameters:
    """What to encode, in ffmpeg's own terms; ``None`` leaves it to the scenario or ffmpeg."""

    duration: float | None = None  #: seconds: of the synthetic source, or a cut of the input
    bitrate: str | None = None  #: video bits per second, ffmpeg's suffixes: "4M"
    encoder: str | None = None  #: video encoder, "copy", or "none"
    preset: str | None = None
    tune: str | None = None
    crf: int | None = None
    width: int | None = None  #: pixels, even
    height: int | None = None  #: pixels, even
    framerate: int | None = None  #: frames per second
    audio_encoder: str | None = None  #: audio encoder, "copy", or "none"
    audio_bitrate: str | None = None  #: bits per second: "128k"
    format: str | None = None  #: container; else told by the output's extension


@dataclass(frozen=True)
class Job:
    """What was asked, validated, with its scenario's defaults filled in."""

    scenario: str | None = None
    input: str | None = None  #: URL or path; None is a synthetic source
    output: str | None = None  #: URL or path; None encodes, verifies and discards
    parameters: Parameters = Parameters()
    resource_limits: Limits = Limits()
    queue: Queue = Queue.DEFAULT
    priority: Priority = Priority.MEDIUM
    labels: Mapping[str, str] = field(default_factory=dict)
    max_attempts: int = 3
    require_enforcement: bool | None = None  #: None: as the worker is configured


@dataclass(frozen=True)
class Claim:
    """One attempt at a job, handed to one worker under a lease."""

    job_id: str
    attempt: int  #: counts up from 1; the fencing token's public part
    token: str  #: its secret part
    lease_seconds: float
    job: Job


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
    enforced: bool = True  #: False: this machine could not hold it to its limits


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
    reason: Reason | None = None
    error: str | None = None
    log_tail: tuple[str, ...] = ()
    exit_status: int | None = None
    progress: Progress | None = None
    usage: Usage | None = None
    media: Media | None = None
    enforced: bool | None = None


@dataclass(frozen=True)
class Machine:
    """What a worker's machine has, and how it can hold jobs."""

    cpus: int
    memory_mb: int
    disk_free_mb: int
    max_concurrent_jobs: int
    encoders: tuple[str, ...] = ()
    manager: str = "system"  #: system, user or none
    enforced: tuple[str, ...] = ()  #: of cpu, memory, pids, io
    version: str = ""


@dataclass(frozen=True)
class WorkerStatus:
    """A worker as the API shows it."""

    name: str
    online: bool
    machine: Machine
    running: tuple[str, ...]  #: ids of the jobs it holds
    registered_at: str
    last_heartbeat_at: str


@dataclass(frozen=True)
class Report:
    """One running attempt, as a heartbeat tells of it."""

    job_id: str
    attempt: int
    token: str
    progress: Progress | None = None
    usage: Usage | None = None
    in_force: Terms | None = None  #: as the kernel has it; None: nothing of it runs
    unmet: str | None = None  #: why what is wanted is not in force


class Order(str, Enum):
    """What a heartbeat's answer asks of one attempt."""

    CONTINUE = "continue"  #: the lease is extended
    CANCEL = "cancel"  #: the lease is extended; stop, and report it as canceled
    LOST = "lost"  #: the attempt is no longer yours: stop, and publish nothing


@dataclass(frozen=True)
class Heartbeat:
    """A worker's sign of life: what runs and what is free."""

    running: tuple[Report, ...] = ()
    disk_free_mb: int = 0
    draining: bool = False


@dataclass(frozen=True)
class HeartbeatOrder:
    """The answer for one reported attempt."""

    job_id: str
    attempt: int
    order: Order
    wanted: Terms | None = None  #: told each time, so that a lost answer loses nothing


@dataclass(frozen=True)
class HeartbeatAnswer:
    """The master's answer to a heartbeat."""

    orders: tuple[HeartbeatOrder, ...]
    lease_seconds: float
    heartbeat_seconds: float  #: ask again this soon
