"""What the serving process opens when it starts and closes when it ends.

Imported there alone, after gevent has patched what these modules use.
"""

from __future__ import annotations

from typing import Any

from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master.app import make_app
from ffmpeg_master.config import Config
from ffmpeg_master.housekeeping import Housekeeping
from ffmpeg_master.master import open_master
from ffmpeg_master.store.schema import SchemaTooNew

#: What opening the store may end with.
CANNOT_OPEN = (SchemaTooNew, Unavailable)


class Serving:
    """The application with its store open and its housekeeping at work."""

    def __init__(self, config: Config) -> None:
        """Raises SchemaTooNew or Unavailable."""
        self._master = open_master(config)
        self._housekeeping = Housekeeping(self._master)
        self.app: Any = make_app(self._master)
        self._housekeeping.start()

    def stop(self) -> None:
        """End held claims and the housekeeping; requests in flight go on."""
        self._housekeeping.stop()
        self._master.wakeup.close()
