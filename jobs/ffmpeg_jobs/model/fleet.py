"""The machines, what they tell the master, and what it answers; who may ask what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ffmpeg_jobs.model.attempt import Progress, Terms, Usage


class Role(str, Enum):
    """What an API key may do."""

    MONITOR = "monitor"  #: figures over all tenants, and no job
    READ = "read"  #: look at jobs and workers
    SUBMIT = "submit"  #: read, submit and cancel
    WORKER = "worker"  #: register, claim, report
    ADMIN = "admin"  #: everything


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
    jobs_cpu_percent: int = 0  #: what all jobs together may have; 0: not known
    jobs_memory_mb: int = 0
    jobs_disk_mb: int = 0
    preempts: bool = False  #: full, it still takes live jobs: batch jobs stand still for them
    require_enforcement: bool = False  #: it refuses what is not enforced, unless the job allows it
    labels: Mapping[str, str] = field(default_factory=dict)  #: what jobs may ask of a worker
    #: Folders that can be used now for inputs and outputs; None: it does not tell, and gets all.
    input_roots: tuple[str, ...] | None = None
    output_roots: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Free:
    """What a worker has left for jobs, by the limits of those that run."""

    cpu_percent: int
    memory_mb: int
    disk_mb: int
    slots: int


@dataclass(frozen=True)
class WorkerStatus:
    """A worker as the API shows it."""

    name: str
    online: bool
    machine: Machine
    running: tuple[str, ...]  #: ids of the jobs it holds
    registered_at: str
    last_heartbeat_at: str
    free: Free | None = None  #: as its last heartbeat told; None: it did not tell
    held_back: str | None = None  #: why it takes no new job now
    cordoned: bool = False  #: somebody asked that it gets no new jobs
    draining: bool = False  #: it takes no new jobs, and ends when those that run have ended


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
    free: Free | None = None
    held_back: str | None = None  #: why it takes no new job now; to be full is no reason
    claim_serial: int | None = None  #: every claim with a smaller serial was heard, or is lost
    serial: int | None = None  #: counts with the claims': what was said later counts
    recall: bool = False  #: its claim at the master no more says what room there is


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
    drain: bool = False  #: somebody asked at the master that it takes no new jobs
    drain_seconds: float | None = None  #: what still runs then is given back; None: it may end
    serial: int | None = None  #: a later word of the worker's is known, with this one; None: none
