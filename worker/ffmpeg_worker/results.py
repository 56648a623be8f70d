"""How attempts ended goes to the master: with a claim that is just to be made, or alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ffmpeg_jobs.bounds import CLAIM_MAX_JOBS
from ffmpeg_jobs.client import MasterClient
from ffmpeg_jobs.model import Refused, Result
from ffmpeg_jobs.problems import StaleAttempt

#: The claim that a freed place leads to is made within this time; none is while another is held
#: open, or no job may be taken.
SOON_SECONDS: Final = 0.05

#: Resolved when the claim was answered: whether the master heard the result.
Fate = asyncio.Future[bool]


class Results:
    """Those that are being told. The place of each is free."""

    def __init__(self, client: MasterClient) -> None:
        """``ended`` and ``freed`` are to be set: they are called when an attempt's ffmpeg runs no
        more, and when its result may go along with a claim; ``soon`` tells whether one is about
        to be made."""
        self.client = client
        self.ended: Callable[[], None] = lambda: None
        self.freed: Callable[[], None] = lambda: None
        self.soon: Callable[[], bool] = lambda: True
        self._waiting: dict[Fate, Result] = {}
        self._told = 0

    def __len__(self) -> int:
        return self._told

    async def tell(self, result: Result) -> None:
        """Returns when the master has it. Raises as ``MasterClient.finish`` does."""
        fate: Fate = asyncio.get_running_loop().create_future()
        self._waiting[fate] = result
        self._told += 1
        try:
            self.freed()
            await asyncio.wait({fate}, timeout=SOON_SECONDS if self.soon() else 0)
            travels = self._waiting.pop(fate, None) is None
            if travels and await fate:
                return
            what = (result.job_id, result.attempt, result.token, result.outcome, result.log)
            await asyncio.to_thread(self.client.finish, *what)
        finally:
            self._told -= 1

    def take(self) -> Mapping[Fate, Result]:
        """Those that a claim takes along; ``heard`` or ``unheard`` must be said of them."""
        fates = list(self._waiting)[:CLAIM_MAX_JOBS]
        return {fate: self._waiting.pop(fate) for fate in fates}

    @staticmethod
    def heard(taken: Mapping[Fate, Result], refused: Iterable[Refused]) -> None:
        """The claim was answered."""
        why = {(row.job_id, row.attempt): row.detail for row in refused}
        for fate, result in taken.items():
            detail = why.get((result.job_id, result.attempt))
            if detail is None:
                fate.set_result(True)
            else:
                fate.set_exception(StaleAttempt(detail))

    @staticmethod
    def unheard(taken: Mapping[Fate, Result]) -> None:
        """It was not, or it was refused as a whole: each is told alone."""
        for fate in taken:
            fate.set_result(False)
