"""The nouns that travel between client, master and worker.

Frozen values only: a noun is made once, by the room that owns it, and changed by
``dataclasses.replace``. Names of fields are the names on the wire.
"""

from __future__ import annotations

from ffmpeg_jobs.model.attempt import (
    AttemptStatus,
    Callback,
    CallbackState,
    Claim,
    Claimed,
    JobStatus,
    Media,
    Outcome,
    Progress,
    Refused,
    Result,
    Terms,
    Usage,
)
from ffmpeg_jobs.model.audit import Action, AuditEntry
from ffmpeg_jobs.model.fleet import (
    Free,
    Heartbeat,
    HeartbeatAnswer,
    HeartbeatOrder,
    Machine,
    Order,
    Report,
    Role,
    WorkerStatus,
)
from ffmpeg_jobs.model.job import (
    DEFAULT_DISK_MB,
    DEFAULT_MEMORY_MB,
    DEFAULT_TIMEOUT_SECONDS,
    FINAL_STATES,
    RETRIED_REASONS,
    Group,
    Job,
    Limits,
    Parameters,
    Priority,
    Queue,
    Reason,
    State,
)
from ffmpeg_jobs.model.tenant import TenantLimits, TenantStatus

__all__ = [
    "DEFAULT_DISK_MB",
    "DEFAULT_MEMORY_MB",
    "DEFAULT_TIMEOUT_SECONDS",
    "FINAL_STATES",
    "RETRIED_REASONS",
    "Action",
    "AttemptStatus",
    "AuditEntry",
    "Callback",
    "CallbackState",
    "Claim",
    "Claimed",
    "Free",
    "Group",
    "Heartbeat",
    "HeartbeatAnswer",
    "HeartbeatOrder",
    "Job",
    "JobStatus",
    "Limits",
    "Machine",
    "Media",
    "Order",
    "Outcome",
    "Parameters",
    "Priority",
    "Progress",
    "Queue",
    "Reason",
    "Refused",
    "Report",
    "Result",
    "Role",
    "State",
    "TenantLimits",
    "TenantStatus",
    "Terms",
    "Usage",
    "WorkerStatus",
]
