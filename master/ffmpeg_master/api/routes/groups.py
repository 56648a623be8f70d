"""What people ask of groups of jobs."""

from __future__ import annotations

from typing import Final

from ffmpeg_jobs import contract
from ffmpeg_jobs.model import Action, Role
from ffmpeg_master.api import groups
from ffmpeg_master.api.call import Route

ROUTES: Final = (
    Route(
        "GET",
        "/groups/{group}",
        groups.show,
        Role.READ,
        "Count a group's jobs by state, and tell their one progress",
        {200: contract.GROUP},
        problems=(404,),
    ),
    Route(
        "POST",
        "/groups/{group}/cancel",
        groups.cancel,
        Role.SUBMIT,
        "Ask for the end of all jobs of a group; those that are queued end at once",
        {200: contract.GROUP},
        problems=(404,),
        audited=Action.JOB_CANCELED,
    ),
)
