"""The table of routes: the application, its keys' roles and /openapi.json are made of it."""

from __future__ import annotations

import json
from functools import cache
from typing import Final

from ffmpeg_jobs.contract import JsonSchema
from ffmpeg_master.api import openapi
from ffmpeg_master.api.call import Answer, Call, Route
from ffmpeg_master.api.routes import about, attempts, audit, groups, jobs, tenants, workers
from ffmpeg_master.api.routes.parameters import PATH

_ANY: Final[JsonSchema] = {"type": "object"}


@cache
def _document() -> bytes:
    """Made once: it takes long, and whoever asks needs no key."""
    return json.dumps(openapi.document(ROUTES, PATH)).encode()


def _describe(_call: Call) -> Answer:
    return Answer(body=_document())


ROUTES: Final = (
    *jobs.ROUTES,
    *groups.ROUTES,
    *workers.ROUTES,
    *attempts.ROUTES,
    *audit.ROUTES,
    *tenants.ROUTES,
    *about.ROUTES,
    Route(
        "GET",
        "/openapi.json",
        _describe,
        None,
        "This description",
        {200: _ANY},
    ),
)
