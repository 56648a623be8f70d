"""A real master process that is told to stop."""

from __future__ import annotations

from pathlib import Path

from ffmpeg_jobs.problems import Unavailable
from tests.api.conftest import MACHINE, PATIENCE_SECONDS, Launch, in_thread, until


def test_a_stop_ends_held_claims_and_idle_connections(launch: Launch) -> None:
    master = launch().ready()
    client = master.client()
    client.register("ada", MACHINE)  # this connection stays open, idle

    def hold() -> object:
        try:
            return master.client().claim("ada", 50)
        except Unavailable:  # the stop was a moment quicker
            return None

    thread, found = in_thread(hold)
    until(lambda: _established(master.listener.getsockname()[1]) >= 2)
    master.process.terminate()
    assert master.process.wait(PATIENCE_SECONDS - 10) == 0  # gunicorn would wait for both
    thread.join(PATIENCE_SECONDS)
    assert found == [None]


def _established(port: int) -> int:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)
