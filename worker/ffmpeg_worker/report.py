"""Step 7: the outcome goes to the master, or the attempt back, however long it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from ffmpeg_jobs.bounds import LOG_MAX_BYTES, LOG_SHORT_BYTES
from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.model import Claim, Outcome, Result, Usage
from ffmpeg_jobs.problems import (
    InvalidField,
    MasterUnreachable,
    NotFound,
    Problem,
    StaleAttempt,
)
from ffmpeg_worker.backoff import Backoff
from ffmpeg_worker.results import Results

#: Between tries, at most.
LAST_PAUSE_SECONDS: Final = 30.0
#: Of the refusals these: a key may be renewed (401, 403), time may pass (408, 429).
PASSING: Final = (401, 403, 408, 429)

log = structlog.get_logger()


async def report(claim: Claim, outcome: Outcome, text: str, results: Results) -> None:
    """Deliver ffmpeg's log, if there is one to tell, and the outcome. Returns when the master has
    them, or knows better."""
    log_body, told = _body(text), Result(claim.job_id, claim.attempt, claim.token, outcome)
    if len(log_body) <= LOG_SHORT_BYTES:
        told, log_body = replace(told, log=log_body.decode() or None), b""

    async def deliver() -> None:
        if log_body:
            await asyncio.to_thread(_put_log, claim, log_body, results.client)
        try:
            await results.tell(told)
        except InvalidField as refusal:
            # A master of another version, or a fault of ours: the job must end all the same.
            log.error("result_cut_down", job=claim.job_id, reason=str(refusal))
            least = replace(outcome, log_tail=(), usage=Usage(), media=None)
            await results.tell(replace(told, outcome=least))

    await _until_told(claim, deliver)


async def announce(claim: Claim, text: str, client: MasterClient) -> None:
    """Tell the master that the output is about to be put in its place, with ffmpeg's log, which it
    would get next anyway: it waits longer for who says so.

    Raises StaleAttempt if the attempt is not ours any more; MasterUnreachable or another Problem
    that another try may mend.
    """
    put = partial(_put_log, claim, client=client, publishing=True)
    if not await asyncio.to_thread(put, _body(text)):
        await asyncio.to_thread(put, b"")


def _body(text: str) -> bytes:
    return text.replace("\0", "").encode()[-LOG_MAX_BYTES:]


async def give_back(claim: Claim, why: str, client: MasterClient) -> None:
    """Hand an attempt back that was not made. Returns as ``report`` does."""
    what = (claim.job_id, claim.attempt, claim.token, why)
    await _until_told(claim, lambda: asyncio.to_thread(client.release, *what))
    log.info("given_back", job=claim.job_id, attempt=claim.attempt, why=why)


async def _until_told(claim: Claim, tell: Callable[[], Awaitable[None]]) -> None:
    backoff = Backoff(last_seconds=LAST_PAUSE_SECONDS)
    while True:
        try:
            await tell()
        except (StaleAttempt, NotFound) as refusal:
            log.warning("outcome_not_wanted", job=claim.job_id, reason=str(refusal))
            return
        except (MasterUnreachable, Problem) as trouble:
            log.warning("report_delayed", job=claim.job_id, reason=str(trouble))
            await asyncio.sleep(backoff.pause())
        else:
            return


def _put_log(claim: Claim, body: bytes, client: MasterClient, *, publishing: bool = False) -> bool:
    """Whether the master took it; how the job ended does not wait for that. Raises what another
    try may mend, and StaleAttempt if what is to be published is not ours any more."""
    try:
        client.put_log(claim.job_id, claim.attempt, claim.token, body, publishing=publishing)
    except Problem as refusal:
        if refusal.status >= 500 or refusal.status in PASSING:
            raise
        if publishing and refusal.status in (NotFound.status, StaleAttempt.status):
            raise StaleAttempt(refusal.detail) from None
        log.warning("log_refused", job=claim.job_id, bytes=len(body), reason=str(refusal))
        return False
    return True
