"""The JSON Schema of each noun that crosses the wire, once.

Validation (``schema.py``), the OpenAPI document and the reference in ``docs/`` are all
made of these tables (JSON Schema 2020-12, as OpenAPI 3.1 uses it). A ``description``
says what is allowed in words, because it is what a refusal shows to a person.
"""

from __future__ import annotations

from ffmpeg_jobs.bounds import (
    AUDIO_ENCODERS,
    BATCH_MAX_JOBS,
    BODY_MAX_BYTES,
    CLAIM_MAX_JOBS,
    CLAIM_WAIT_MAX_SECONDS,
    DEPENDS_ON_MAX,
    FORMATS,
    LOG_MAX_BYTES,
    NESTING_MAX,
    PARTS_MAX,
    TUNES,
    VIDEO_ENCODERS,
)
from ffmpeg_jobs.contract.attempt import (
    ATTEMPT_STATUS,
    CLAIM,
    CLAIM_REQUEST,
    CLAIMED,
    JOB_STATUS,
    MEDIA,
    OUTCOME,
    PROGRESS,
    RELEASE,
    RESULT,
    TERMS,
    USAGE,
)
from ffmpeg_jobs.contract.audit import ACTION, AUDIT_ENTRY
from ffmpeg_jobs.contract.fleet import (
    DRAIN,
    FREE,
    HEARTBEAT,
    HEARTBEAT_ANSWER,
    MACHINE,
    WORKER_STATUS,
)
from ffmpeg_jobs.contract.job import (
    BATCH,
    COUNTS,
    GROUP,
    JOB,
    LABELS,
    LIMITS,
    NEW_LIMITS,
    PARAMETERS,
)
from ffmpeg_jobs.contract.tenant import TENANT_LIMITS, TENANT_STATUS
from ffmpeg_jobs.contract.words import (
    DEPENDENCY,
    GROUP_NAME,
    INPUT_PATTERN,
    JOB_ID_PATTERN,
    MOMENT,
    TENANT_NAME,
    WORKER_NAME_PATTERN,
    JsonSchema,
)

__all__ = [
    "ACTION",
    "ATTEMPT_STATUS",
    "AUDIO_ENCODERS",
    "AUDIT_ENTRY",
    "BATCH",
    "BATCH_MAX_JOBS",
    "BODY_MAX_BYTES",
    "CLAIM",
    "CLAIMED",
    "CLAIM_MAX_JOBS",
    "CLAIM_REQUEST",
    "CLAIM_WAIT_MAX_SECONDS",
    "COUNTS",
    "DEPENDENCY",
    "DEPENDS_ON_MAX",
    "DRAIN",
    "FORMATS",
    "FREE",
    "GROUP",
    "GROUP_NAME",
    "HEARTBEAT",
    "HEARTBEAT_ANSWER",
    "INPUT_PATTERN",
    "JOB",
    "JOB_ID_PATTERN",
    "JOB_STATUS",
    "LABELS",
    "LIMITS",
    "LOG_MAX_BYTES",
    "MACHINE",
    "MEDIA",
    "MOMENT",
    "NESTING_MAX",
    "NEW_LIMITS",
    "OUTCOME",
    "PARAMETERS",
    "PARTS_MAX",
    "PROGRESS",
    "RELEASE",
    "RESULT",
    "TENANT_LIMITS",
    "TENANT_NAME",
    "TENANT_STATUS",
    "TERMS",
    "TUNES",
    "USAGE",
    "VIDEO_ENCODERS",
    "WORKER_NAME_PATTERN",
    "WORKER_STATUS",
    "JsonSchema",
]
