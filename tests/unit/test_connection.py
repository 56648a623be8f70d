"""A bus that goes away is a line of the log, and no traceback."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from dbus_next.constants import BusType
from structlog.testing import capture_logs

from ffmpeg_worker.connection import Connection
from ffmpeg_worker.scopes import Scopes, Unanswered


# dbus-next leaves closing its socket to Python.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_bus_that_goes_away_is_told_in_one_line(tmp_path: Path) -> None:
    if shutil.which("dbus-daemon") is None:
        pytest.fail("no dbus-daemon") if os.environ.get("CI") else pytest.skip("no dbus-daemon")
    address = f"unix:path={tmp_path}/bus"
    daemon = ["dbus-daemon", "--session", "--nofork", "--print-address=1", "--address", address]
    process = subprocess.Popen(daemon, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    unheard: list[object] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, told: unheard.append(told))
        line = Connection(lambda: Scopes.connect(BusType.SESSION, address), "the bus")
        bus = (await line.scopes()).bus
        process.kill()
        while bus.connected:
            await asyncio.sleep(0.01)
        with pytest.raises(Unanswered):
            await line.scopes()
        line._scopes = line._end = None
        del bus
        gc.collect()
        await asyncio.sleep(0)

    with capture_logs() as logs:
        asyncio.run(asyncio.wait_for(story(), 30))
    process.communicate()
    gc.collect()
    assert unheard == []
    assert [(row["event"], row["bus"]) for row in logs] == [("bus_gone", "the bus")]
