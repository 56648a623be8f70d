"""A simulated worker against a server that answers as it is told."""

from __future__ import annotations

import asyncio
from typing import Any

from ffmpeg_jobs.line import Endpoint
from ffmpeg_jobs.simulation.connection import places
from ffmpeg_jobs.simulation.figures import Figures
from ffmpeg_jobs.simulation.worker import LABEL, Worker
from tests.unit.test_client import Said, serving

CLOSE = {"Connection": "close"}


def claimed(run: str, job_id: str) -> Said:
    claim = {"job_id": job_id, "attempt": 1, "token": "t", "job": {"worker_labels": {LABEL: run}}}
    return Said({"claims": [claim], "refused": []}, headers=CLOSE)


def test_a_result_that_was_answered_with_nothing_is_told_again() -> None:
    figures, told = Figures(), list[tuple[str, Any]]()
    with serving() as server:
        at = places(Endpoint(server.url, "the-key"))
        worker = Worker("w", "mine", at, figures, first=0, job_seconds=0.01)
        server.answers = [
            claimed("mine", "first"),
            Said(b"", 204, CLOSE),
            claimed("another", "second"),  # ends it
        ]
        asyncio.run(
            worker.jobs(
                lambda claim, _: told.append(("started", claim["job_id"])),
                lambda claim: told.append(("ended", claim["job_id"])),
                lambda claim: told.append(("stranger", claim["job_id"])),
            )
        )
    assert told == [("started", "first"), ("ended", "first"), ("stranger", "second")]
    assert len(server.heard) == 3
    assert dict(figures.errors) == {"the master answered a result with nothing": 1}
