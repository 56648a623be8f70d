"""Who did what to which job, worker, key or tenant, and from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Action(str, Enum):
    """What people do that is written down; each is done to one thing of its kind."""

    JOB_SUBMITTED = "job_submitted"  #: alone or in a batch
    JOB_CANCELED = "job_canceled"
    JOB_RETRIED = "job_retried"
    JOB_LIMITS_CHANGED = "job_limits_changed"
    JOB_PAUSED = "job_paused"
    JOB_RESUMED = "job_resumed"
    WORKER_CORDONED = "worker_cordoned"
    WORKER_UNCORDONED = "worker_uncordoned"
    WORKER_DRAINED = "worker_drained"
    WORKER_UNDRAINED = "worker_undrained"
    WORKER_REMOVED = "worker_removed"
    KEY_CREATED = "key_created"
    KEY_REVOKED = "key_revoked"
    TENANT_LIMITED = "tenant_limited"
    TENANT_REMOVED = "tenant_removed"

    @property
    def kind(self) -> str:
        """What it is done to: ``job``, ``worker``, ``key`` or ``tenant``."""
        return self.value.partition("_")[0]


@dataclass(frozen=True)
class AuditEntry:
    """One thing that somebody did."""

    id: int  #: counts up
    at: str  #: RFC 3339, UTC
    who: str  #: the name of the key, or of the account at the master's machine
    action: Action
    kind: str  #: job, worker, key or tenant
    subject: str  #: the id of the job, the name of the worker, key or tenant
    role: str | None = None  #: of the key; None: an account at the master's machine
    tenant: str | None = None  #: likewise
    address: str | None = None  #: likewise
    detail: Mapping[str, Any] = field(default_factory=dict)  #: what was asked
