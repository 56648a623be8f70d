"""What admins ask of the audit log."""

from __future__ import annotations

from typing import Final

from ffmpeg_jobs import contract
from ffmpeg_jobs.contract import JsonSchema
from ffmpeg_jobs.model import Role
from ffmpeg_master.api import audit
from ffmpeg_master.api.call import Route
from ffmpeg_master.api.routes.parameters import AUDIT_QUERY, NEXT_PAGE

ENTRIES: Final[JsonSchema] = {"type": "array", "items": contract.AUDIT_ENTRY}

ROUTES: Final = (
    Route(
        "GET",
        "/audit",
        audit.show_page,
        Role.ADMIN,
        "List who did what, newest first; the Link header leads to the next page",
        {200: ENTRIES},
        query=AUDIT_QUERY,
        tells=NEXT_PAGE,
    ),
)
