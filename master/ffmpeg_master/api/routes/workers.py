"""What workers tell, and what people ask of workers."""

from __future__ import annotations

from typing import Final

from ffmpeg_jobs import contract
from ffmpeg_jobs.contract import JsonSchema
from ffmpeg_jobs.model import Action, Role
from ffmpeg_master.api import workers
from ffmpeg_master.api.call import JSON, Route

WORKERS: Final[JsonSchema] = {"type": "array", "items": contract.WORKER_STATUS}

ROUTES: Final = (
    Route(
        "GET",
        "/workers",
        workers.show_all,
        Role.READ,
        "List the workers",
        {200: WORKERS},
    ),
    Route(
        "PUT",
        "/workers/{name}",
        workers.register,
        Role.WORKER,
        "Register a worker, or tell what its machine has become",
        {200: contract.HEARTBEAT_ANSWER},
        body=contract.MACHINE,
        takes=JSON,
    ),
    Route(
        "POST",
        "/workers/{name}/heartbeat",
        workers.heartbeat,
        Role.WORKER,
        "Extend the leases of what runs and hear what to do",
        {200: contract.HEARTBEAT_ANSWER},
        body=contract.HEARTBEAT,
        takes=JSON,
        problems=(404,),
    ),
    Route(
        "POST",
        "/workers/{name}/cordon",
        workers.cordon,
        Role.ADMIN,
        "Hand out no new jobs to a worker; those that run go on",
        {204: None},
        problems=(404,),
        audited=Action.WORKER_CORDONED,
    ),
    Route(
        "POST",
        "/workers/{name}/uncordon",
        workers.uncordon,
        Role.ADMIN,
        "Hand out jobs to a worker again",
        {204: None},
        problems=(404,),
        audited=Action.WORKER_UNCORDONED,
    ),
    Route(
        "POST",
        "/workers/{name}/drain",
        workers.drain,
        Role.ADMIN,
        "Have a worker take no new jobs, and give back what still runs after timeout_seconds",
        {204: None},
        body=contract.DRAIN,
        takes=JSON,
        problems=(404,),
        audited=Action.WORKER_DRAINED,
    ),
    Route(
        "POST",
        "/workers/{name}/undrain",
        workers.undrain,
        Role.ADMIN,
        "Have a drained worker take jobs again",
        {204: None},
        problems=(404,),
        audited=Action.WORKER_UNDRAINED,
    ),
    Route(
        "DELETE",
        "/workers/{name}",
        workers.remove,
        Role.ADMIN,
        "Forget a worker that is gone",
        {204: None},
        problems=(404, 409),
        audited=Action.WORKER_REMOVED,
    ),
)
