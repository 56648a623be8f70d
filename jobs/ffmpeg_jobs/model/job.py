"""What is asked: a job, its limits, and the words for where it stands and why it ended."""

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
    OUTPUT_ERROR = "output_error"  #: its place may not be written, is not allowed, or is taken
    ENCODER_ERROR = "encoder_error"  #: ffmpeg refused the parameters, or the encoder failed
    OUT_OF_MEMORY = "out_of_memory"  #: the kernel ended it at its memory limit
    TIMEOUT = "timeout"  #: it ran longer than timeout_sec
    DISK_FULL = "disk_full"  #: the volume had no room for it, or it outgrew max_disk_mb
    NETWORK_ERROR = "network_error"  #: a server refused, broke off or did not answer
    CANCELED = "canceled"  #: somebody asked for its end
    WORKER_LOST = "worker_lost"  #: its worker vanished, or somebody killed its processes
    INTERNAL_ERROR = "internal_error"  #: the machine could not run it as asked
    DEADLINE_PASSED = "deadline_passed"  #: no worker was free before its deadline
    DEPENDENCY_FAILED = "dependency_failed"  #: a job that it waited for did not complete


#: Reasons that another try, best on another machine, can mend, unless the outcome is ``final``.
RETRIED_REASONS = frozenset(
    {Reason.NETWORK_ERROR, Reason.WORKER_LOST, Reason.DISK_FULL, Reason.OUTPUT_ERROR}
)


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


#: What a job gets that did not ask; a worker whose caps are lower gives it those.
DEFAULT_MEMORY_MB = 2048
DEFAULT_DISK_MB = 5000
DEFAULT_TIMEOUT_SECONDS = 3600


@dataclass(frozen=True)
class Limits:
    """What a job asked to use; ``None``: it did not ask."""

    max_cpu_percent: int | None = None  #: 100 is one core; not asked: all cores
    max_memory_mb: int | None = None  #: MiB
    max_disk_mb: int | None = None  #: MiB
    timeout_sec: int | None = None  #: seconds from the start of the scope


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
    overwrite: bool | None = None  #: True: a file that is at the output's place is replaced
    parameters: Parameters = Parameters()
    resource_limits: Limits = Limits()
    queue: Queue = Queue.DEFAULT
    priority: Priority = Priority.MEDIUM
    labels: Mapping[str, str] = field(default_factory=dict)
    max_attempts: int = 3
    require_enforcement: bool | None = None  #: None: as the worker is configured
    worker_labels: Mapping[str, str] = field(default_factory=dict)  #: its worker must have them
    not_before: str | None = None  #: RFC 3339; it does not start earlier
    deadline: str | None = None  #: RFC 3339; it does not start later, and then ends failed
    group: str | None = None  #: jobs of one group have one progress, and are canceled together
    depends_on: tuple[str, ...] = ()  #: ids of jobs; it does not start before all completed
    callback_url: str | None = None  #: is told of its start and its end


@dataclass(frozen=True)
class Group:
    """The jobs that came with one ``group``."""

    name: str
    jobs: int
    states: Mapping[str, int]  #: how many of them are in each state
    #: 0 to 100: the mean over all jobs; who ended, however, counts 100, who runs its own
    #: progress, who waits 0. A long job counts as much as a short one.
    percent: float
