"""What the master tells of itself."""

from __future__ import annotations

from typing import Final

from ffmpeg_jobs.model import Role
from ffmpeg_master import metrics
from ffmpeg_master.api import health
from ffmpeg_master.api.call import TEXT, Route
from ffmpeg_master.api.routes.parameters import number, table

HEALTH: Final = table(
    {
        "status": {"type": "string", "enum": ["ok", "broken"]},
        "version": {"type": "string"},
        "database": {"type": "string", "enum": ["ok", "broken", "locked"]},
        "queued": number(0, 1 << 62, "jobs that wait, of all tenants or the key's"),
        "running": number(0, 1 << 62, "jobs that workers hold, likewise"),
        "workers_online": number(0, 1 << 62, "workers that were heard within a lease"),
    }
)

ROUTES: Final = (
    Route(
        "GET",
        "/health",
        health.health,
        None,
        "Whether the master works, and, for who shows a key, what it has to do",
        {200: HEALTH, 503: HEALTH},
        tells_keys=Role.MONITOR,
    ),
    Route(
        "GET",
        "/problems/{kind}",
        health.explain_problem,
        None,
        "What a type of problem means, and what to do about it",
        {200: None},
        gives=TEXT,
    ),
    Route(
        "GET",
        "/metrics",
        health.show_metrics,
        Role.MONITOR,
        "The metrics of the key's tenant, or of all, in Prometheus' text format",
        {200: None},
        gives=metrics.CONTENT_TYPE,
    ),
)
