"""Show and cancel groups of jobs."""

from __future__ import annotations

import structlog

from ffmpeg_master.api.call import Answer, Call
from ffmpeg_master.store import groups

log = structlog.get_logger()


def show(call: Call) -> Answer:
    """GET /groups/{group}"""
    return Answer(body=groups.show(call.master.store, call.path["group"], call.sees))


def cancel(call: Call) -> Answer:
    """POST /groups/{group}/cancel"""
    store, name = call.master.store, call.path["group"]
    groups.show(store, name, call.sees)  # refuses one that is not there
    while found := groups.cancel(store, name, call.sees, call.act):
        for status in found:
            log.info("job_cancel_requested", job=status.id, by=call.by, state=status.state.value)
            call.master.ended(status)
    return Answer(body=groups.show(store, name, call.sees))
