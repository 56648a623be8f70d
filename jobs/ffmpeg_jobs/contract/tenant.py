"""What admins say of tenants, and hear."""

from __future__ import annotations

from ffmpeg_jobs.contract.job import LIMITS
from ffmpeg_jobs.contract.words import COUNT, TENANT_NAME, JsonSchema
from ffmpeg_jobs.model import Queue
from ffmpeg_jobs.shapes import choice, fields, items, whole

_QUEUES = items(choice(*(q.value for q in Queue)), len(Queue), "queues, at least one") | {
    "minItems": 1,
    "uniqueItems": True,
    "description": "at least one of " + ", ".join(q.value for q in Queue),
}

TENANT_LIMITS: JsonSchema = fields(
    {
        "max_queued": whole(0, 1_000_000_000, "jobs"),
        "max_running": whole(0, 1_000_000, "jobs"),
        "max_cpu_percent": whole(1, 1_000_000_000, "percent (100 is one core)"),
        "max_timeout_sec": LIMITS["properties"]["timeout_sec"],
        "queues": _QUEUES,
        "rate": whole(1, 1_000_000, "jobs a minute"),
    }
)

TENANT_STATUS = fields(
    {
        "name": TENANT_NAME,
        "queued": COUNT,
        "running": COUNT,
        "cpu_percent": COUNT,
        "limits": TENANT_LIMITS,
    },
    needs="name queued running cpu_percent limits",
)
