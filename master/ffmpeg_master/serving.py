"""What the serving process opens when it starts and closes when it ends.

Imported there alone, after gevent has patched what these modules use.
"""

from __future__ import annotations

import time
from typing import Any, Final

import structlog

from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master import app, overlong
from ffmpeg_master.config import Config
from ffmpeg_master.housekeeping import Housekeeping
from ffmpeg_master.master import Master, open_master
from ffmpeg_master.store.engine import Store
from ffmpeg_master.store.schema import SchemaTooNew
from ffmpeg_master.store.troubles import Collision, Unreachable
from ffmpeg_master.webhooks import Webhooks

log = structlog.get_logger()

#: Between two tries to reach the database at the start.
_ASK_AGAIN_SECONDS: Final = 2
#: What opening the store may end with.
CANNOT_OPEN = (SchemaTooNew, Unavailable)


class Serving:
    """The application with its store open and its housekeeping at work."""

    def __init__(self, config: Config) -> None:
        """Waits for a database that does not answer. Raises SchemaTooNew or Unavailable."""
        self._master = _open(config)
        self._housekeeping = Housekeeping(self._master)
        self._webhooks = Webhooks(self._master)
        self.app: Any = app.make_app(self._master)
        overlong.Watch(app.answer.__code__, app.at_work).start()
        self._housekeeping.start()
        self._webhooks.start()
        wakeup = self._master.wakeup
        hears = {**wakeup.hears, **self._master.tenant_room.hears}
        self._master.relay.start(hears, connected=wakeup.wake_all)

    def stop(self) -> None:
        """End held claims, who watches and the housekeeping; requests in flight go on."""
        self._housekeeping.stop()
        self._webhooks.stop()
        self._master.relay.stop()
        self._master.wakeup.close()
        self._master.feed.close()


def _open(config: Config) -> Master:
    """The master, when its database lets it: after a power cut both start at once, and while
    masters are replaced others write.
    """
    store, detail = Store(config.database), ""
    while True:
        try:
            return open_master(config, store=store)
        except (Collision, Unreachable) as problem:
            if problem.detail != detail:
                detail = problem.detail
                log.warning("database_unreachable", detail=detail)
            time.sleep(_ASK_AGAIN_SECONDS)
