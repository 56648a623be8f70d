"""The nouns that stay inside the master (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

from ffmpeg_jobs.model import Action, JobStatus, Machine, Role

#: What a job counts as that did not ask for CPU: one core.
UNASKED_CPU_PERCENT: Final = 100


@dataclass(frozen=True)
class Needs:
    """What a job asks of a machine."""

    encoder: str | None = None  #: a hardware encoder; None: software is everywhere
    cpu_percent: int | None = None  #: 100 is one core; None: whatever there is
    memory_mb: int = 0  #: MiB; 0: it did not ask, and gets DEFAULT_MEMORY_MB or what there is
    disk_mb: int = 0  #: MiB; 0: likewise, DEFAULT_DISK_MB
    labels: tuple[tuple[str, str], ...] = ()  #: names and values that the worker must have
    enforced: bool | None = None  #: the kernel must hold it to its limits; None: as a worker says
    input_folder: str | None = None  #: where its input is on the machine; None: on none
    output_folder: str | None = None  #: where its output goes there


@dataclass(frozen=True)
class Use:
    """What jobs hold of a machine."""

    cpu_percent: int = 0  #: 100 is one core
    memory_mb: int = 0  #: MiB
    disk_mb: int = 0  #: MiB


@dataclass(frozen=True)
class Waiting:
    """A queued job, as much of it as choosing needs."""

    job_id: str
    needs: Needs
    avoid_worker: str | None = None  #: where its last attempt failed
    live: bool = False  #: of the queue live
    rank: int = 0  #: by queue and priority; the smaller the sooner
    since_seconds: float = 0.0  #: Unix time since when it can be handed out
    submitter: str = ""
    number: int = 0  #: the order of acceptance
    tenant: str = ""


class Left(Enum):
    """What waits beside what a claim got."""

    NOTHING = "nothing"  #: no job, for anybody
    SOME = "some"  #: maybe jobs, but none for this worker
    FOR_OTHERS = "for others"  #: one for it too, were the other workers not what they are


@dataclass(frozen=True)
class Room:
    """What a worker says with a claim of the room that it has."""

    serial: int | None = None  #: its number of this claim; what it said before counts no more
    places: int | None = None  #: jobs that may begin there now; None: the master counts
    leaving: frozenset[tuple[str, int]] = frozenset()  #: attempts that run no more


#: Of a worker that is not asking.
ANY_ROOM: Final = Room()


@dataclass(frozen=True)
class Member:
    """A worker of the fleet, as much of it as choosing needs."""

    name: str
    machine: Machine
    online: bool
    draining: bool
    running: tuple[Needs, ...] = ()  #: of the jobs that it holds
    held_back: bool = False  #: it, or somebody, said that it gets no new job
    places: int | None = None  #: jobs that may begin there; None: as many as it does not run
    serves: str | None = None  #: the tenant whose jobs it gets; None: everybody's


#: Whose jobs and keys are that name no tenant.
DEFAULT_TENANT: Final = "default"


@dataclass(frozen=True)
class Grant:
    """What a key lets its owner do."""

    role: Role
    tenant: str = DEFAULT_TENANT  #: whose jobs it sees and acts on; an admin's: everybody's
    worker: str | None = None  #: a worker's: it acts as this one alone; None: as any
    expires_at_seconds: float | None = None  #: Unix time; None: it does not
    replaces: str | None = None  #: a worker's: the key whose names it may take over
    serves: str | None = None  #: a worker's: the tenant whose jobs it gets; None: everybody's


@dataclass(frozen=True)
class Key:
    """An API key, without its secret. Times are Unix seconds."""

    name: str
    grant: Grant
    created_at_seconds: float
    revoked_at_seconds: float | None = None
    last_used_at_seconds: float | None = None  #: to the minute

    @property
    def role(self) -> Role:
        """What it may do."""
        return self.grant.role

    @property
    def sees(self) -> str | None:
        """The tenant whose jobs and figures it sees; None: those of all."""
        return None if self.role in (Role.ADMIN, Role.MONITOR) else self.grant.tenant


@dataclass(frozen=True)
class Act:
    """Somebody does something, as the audit log names them."""

    who: str  #: the name of the key, or of the account at this machine
    action: Action
    role: Role | None = None  #: of the key; None: an account
    tenant: str | None = None  #: likewise
    address: str | None = None  #: likewise


@dataclass(frozen=True)
class Webhook:
    """What a job's callback_url is to be told."""

    id: str  #: the same at each try
    type: str  #: as ``job.completed``
    made_at_seconds: float  #: Unix time
    status: JobStatus  #: the job as it stood then
    tries: int  #: with this one
    tenant: str = DEFAULT_TENANT  #: the job's
    key: str = ""  #: the name of the key that it came with

    @property
    def host(self) -> str:
        """Where it goes."""
        return urlsplit(self.status.job.callback_url or "").hostname or ""


@dataclass(frozen=True)
class AuditFilters:
    """Which entries a list shows; None is all. Times are Unix seconds."""

    subject: tuple[str, str] | None = None  #: its kind, and its id or name
    who: str | None = None
    action: str | None = None
    since_seconds: float | None = None
    until_seconds: float | None = None
    before: int | None = None  #: the cursor: only entries older than this one


@dataclass(frozen=True)
class Filters:
    """Which jobs a list shows; None is all."""

    state: str | None = None
    queue: str | None = None
    worker: str | None = None
    label: tuple[str, str] | None = None  #: name and value
    tenant: str | None = None
    before: int | None = None  #: the cursor: only jobs older than this number
    group: str | None = None
    since: float | None = None  #: submitted then or later, Unix seconds
    until: float | None = None  #: submitted before then


@dataclass(frozen=True)
class Change:
    """A job, as it stands since it changed last."""

    at: float  #: Unix seconds, by the database's clock
    number: int  #: the job's
    tenant: str
    status: JobStatus
