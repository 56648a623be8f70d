"""What admins ask of tenants."""

from __future__ import annotations

from typing import Final

from ffmpeg_jobs import contract
from ffmpeg_jobs.contract import JsonSchema
from ffmpeg_jobs.model import Action, Role
from ffmpeg_master.api import tenants
from ffmpeg_master.api.call import JSON, Route

TENANTS: Final[JsonSchema] = {"type": "array", "items": contract.TENANT_STATUS}

ROUTES: Final = (
    Route(
        "GET",
        "/tenants",
        tenants.show_all,
        Role.ADMIN,
        "List every tenant that has limits, a key or a job: what it may have, and what it has",
        {200: TENANTS},
    ),
    Route(
        "GET",
        "/tenants/{tenant}",
        tenants.show,
        Role.ADMIN,
        "Show a tenant",
        {200: contract.TENANT_STATUS},
        problems=(404,),
    ),
    Route(
        "PUT",
        "/tenants/{tenant}",
        tenants.put,
        Role.ADMIN,
        "Set all limits of a tenant; what is left out is not limited",
        {200: contract.TENANT_STATUS},
        body=contract.TENANT_LIMITS,
        takes=JSON,
        audited=Action.TENANT_LIMITED,
    ),
    Route(
        "DELETE",
        "/tenants/{tenant}",
        tenants.remove,
        Role.ADMIN,
        "Take all limits of a tenant away; its keys and jobs stay",
        {204: None},
        problems=(404,),
        audited=Action.TENANT_REMOVED,
    ),
)
