"""A stream has one sender at a time: no server can tell two of them apart."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffmpeg_jobs.model import State
from tests.rtmp import listening
from tests.unmanaged.conftest import Farm, farm_in, named, until

LEASE_SECONDS = 12


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    short = f"[leases]\nlease_seconds = {LEASE_SECONDS}\nidle_heartbeat_seconds = 3\n"
    with farm_in(tmp_path_factory.mktemp("streams"), short) as made:
        yield made


def told(farm: Farm, what: signal.Signals) -> None:
    """Send it to the master: to its main process, and to the one that serves."""
    main = farm.master.pid
    serving = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    for pid in (main, *map(int, serving)):
        os.kill(pid, what)


def test_a_stream_ends_before_its_lease_may_be_another_s(farm: Farm, tmp_path: Path) -> None:
    """The master stands still: nobody knows whether it gave the job to another worker."""
    kept = tmp_path / "kept.flv"
    with listening(kept) as (url, server):
        job = farm.submit(output=url, parameters={"duration": 3600, "bitrate": "500k"})
        until(lambda: kept.exists() and kept.stat().st_size > 0)
        heard = farm.client.job(job)
        told(farm, signal.SIGSTOP)
        silent = time.monotonic()
        try:
            until(lambda: not named("ffmpeg", farm.directory))
            lasted_seconds = time.monotonic() - silent
            server.wait(LEASE_SECONDS)  # it saw the end of the stream
        finally:
            told(farm, signal.SIGCONT)
        assert (heard.state, heard.attempt) == (State.RUNNING, 1)
        # Not at the first silence; and 5 s before a master at its place could give it away.
        assert 1 < lasted_seconds < LEASE_SECONDS
    until(lambda: farm.client.job(job).state is not State.RUNNING)
    farm.client.cancel(job)
    assert farm.ended(job).state is not State.COMPLETED
