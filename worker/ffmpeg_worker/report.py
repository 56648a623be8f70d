"""Step 7: the outcome goes to the master, however long the master is away."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.contract import LOG_MAX_BYTES
from ffmpeg_jobs.model import Claim, Outcome
from ffmpeg_jobs.problems import MasterUnreachable, NotFound, Problem, StaleAttempt

#: Between tries: doubled from the first to the last.
FIRST_PAUSE_SECONDS: Final = 1.0
LAST_PAUSE_SECONDS: Final = 30.0

log = structlog.get_logger()


async def report(claim: Claim, outcome: Outcome, text: str, client: MasterClient) -> None:
    """Deliver ffmpeg's log and the outcome. Returns when the master has them, or knows better."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            await asyncio.to_thread(_deliver, claim, outcome, text, client)
        except (StaleAttempt, NotFound) as refusal:
            log.warning("outcome_not_wanted", job=claim.job_id, reason=str(refusal))
            return
        except (MasterUnreachable, Problem) as trouble:
            log.warning("report_delayed", job=claim.job_id, reason=str(trouble))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE_SECONDS)
        else:
            return


def _deliver(claim: Claim, outcome: Outcome, text: str, client: MasterClient) -> None:
    body = text.replace("\0", "").encode()[-LOG_MAX_BYTES:]
    if body:
        client.put_log(claim.job_id, claim.attempt, claim.token, body)
    client.finish(claim.job_id, claim.attempt, claim.token, outcome)
