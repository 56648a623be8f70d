"""Show tenants, and set what they may have."""

from __future__ import annotations

import structlog

from ffmpeg_jobs.model import TenantLimits
from ffmpeg_jobs.schema import from_json, to_json
from ffmpeg_master.api.call import Answer, Call
from ffmpeg_master.store import tenants

log = structlog.get_logger()


def show_all(call: Call) -> Answer:
    """GET /tenants"""
    return Answer(body=tenants.show_all(call.master.store))


def show(call: Call) -> Answer:
    """GET /tenants/{tenant}"""
    return Answer(body=tenants.show(call.master.store, call.path["tenant"]))


def put(call: Call) -> Answer:
    """PUT /tenants/{tenant}"""
    name, limits = call.path["tenant"], from_json(TenantLimits, call.body)
    tenants.change(call.master.store, name, lambda _before: limits, call.act)
    log.info("tenant_limited", of=name, by=call.by, **to_json(limits))
    call.master.tenant_room.changed()
    return Answer(body=tenants.show(call.master.store, name))


def remove(call: Call) -> Answer:
    """DELETE /tenants/{tenant}"""
    name = call.path["tenant"]
    tenants.remove(call.master.store, name, call.act)
    log.info("tenant_removed", of=name, by=call.by)
    call.master.tenant_room.changed()
    return Answer(204)
