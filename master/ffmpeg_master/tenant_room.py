"""When a tenant's limits stop holding a job back, the claims that wait look again.

Here alone. A limit holds back until a job of the tenant leaves its worker, or the line that it
stood first in, and until the limit changes. Which tenants have such limits is known here, so that
the end of any other tenant's job costs nothing. What another process changed is noticed within a
second (``look``, from the housekeeping); what another master was told to change, at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from ffmpeg_jobs.model import JobStatus, TenantLimits
from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master import tenancy
from ffmpeg_master.scheduling import least_cpu_percent
from ffmpeg_master.store import tenants
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.waiting import Lines
from ffmpeg_master.wakeup import Wakeup

log = structlog.get_logger()


class TenantRoom:
    """Wakes who waits. ``tell`` passes a word to the other masters, whose ``hears`` knows it."""

    def __init__(
        self, store: Store, wakeup: Wakeup, tell: Callable[[str, str, int], None] = lambda *_: None
    ) -> None:
        self._store = store
        self._wakeup = wakeup
        self._tell = tell
        self._limits: Mapping[str, TenantLimits] = {}

    def left(self, status: JobStatus) -> None:
        """A job left its worker or its line, or asks for less: others of its tenant may go now.

        That is committed: it is not refused because of what only follows.
        """
        limits = self._limits.get(status.tenant or "")
        if limits is None:
            return
        try:
            may_start = self._may_start(str(status.tenant), limits)
        except Unavailable as problem:
            log.warning("room_unknown", job=status.id, detail=problem.detail)
            may_start = 1
        if may_start:
            self._wakeup.wake(may_start)

    def _may_start(self, name: str, limits: TenantLimits) -> int:
        with self._store.read() as connection:
            held = tenants.held(connection, [name])[name]
            if not tenancy.may_start(limits, held, 1):
                return 0
            heads = [head for head in Lines(self._store).heads if head.tenant == name]
        least = min((least_cpu_percent(head.needs) for head in heads), default=None)
        return 0 if least is None else tenancy.may_start(limits, held, least)

    def changed(self) -> None:
        """Limits were changed here; at whichever master claims wait."""
        self.look()
        self._tell("tenants", "", 1)

    def look(self) -> None:
        """Have all look again if limits are others than they were."""
        limits = tenants.holding_back(self._store)
        if limits != self._limits:
            self._limits = limits
            self._wakeup.wake_all()

    @property
    def hears(self) -> Mapping[str, Callable[[str, int], None]]:
        """What to do about a word of another master's."""
        return {"tenants": lambda _about, _times: self.look()}
