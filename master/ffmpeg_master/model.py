"""The nouns that stay inside the master (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from ffmpeg_jobs.model import Machine, Role


@dataclass(frozen=True)
class Needs:
    """What a job asks of a machine."""

    encoder: str | None = None  #: a hardware encoder; None: software is everywhere
    cpu_percent: int | None = None  #: 100 is one core; None: whatever there is
    memory_mb: int = 0  #: MiB; 0: it did not ask, and gets DEFAULT_MEMORY_MB or what there is


@dataclass(frozen=True)
class Waiting:
    """A queued job, as much of it as choosing needs."""

    job_id: str
    needs: Needs
    avoid_worker: str | None = None  #: where its last attempt failed
    live: bool = False  #: of the queue live


@dataclass(frozen=True)
class Member:
    """A worker of the fleet, as much of it as choosing needs."""

    name: str
    machine: Machine
    online: bool
    draining: bool
    running: int  #: jobs that it holds


@dataclass(frozen=True)
class Key:
    """An API key, without its secret."""

    name: str
    role: Role
    created_at_seconds: float  #: Unix time
    revoked_at_seconds: float | None = None


@dataclass(frozen=True)
class Filters:
    """Which jobs a list shows; None is all."""

    state: str | None = None
    queue: str | None = None
    worker: str | None = None
    label: tuple[str, str] | None = None  #: name and value
    before: int | None = None  #: the cursor: only jobs older than this number
