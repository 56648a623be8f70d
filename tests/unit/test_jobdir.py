"""What an attempt's directory tells of it."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ffmpeg_worker import holder, jobdir
from ffmpeg_worker.plan import Plan
from tests.unit.test_plan import CONFIG, planned


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Written down, and let go."""
    made = planned(replace(CONFIG, state_directory=tmp_path))
    jobdir.record(made)
    return made


def write(plan: Plan, name: str, **content: object) -> None:
    (Path(plan.directory) / name).write_text(json.dumps(content))


def facts(plan: Plan, exit_status: int = 0) -> None:
    """As the holder writes them at the end."""
    more = {"terminated": False, "wall_seconds": 3.0, "counters": {}}
    write(plan, "facts.json", exit_status=exit_status, **more)


def test_a_number_that_a_thread_has_now_is_no_holder(plan: Plan) -> None:
    found: list[int | None] = []

    def in_thread() -> None:
        write(plan, "holder.json", pid=threading.get_native_id(), start_ticks=1)
        found.append(jobdir.holder_pidfd(plan))

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert found == [None]


def test_a_holder_that_told_its_last_words_is_not_looked_for(plan: Plan) -> None:
    write(plan, "holder.json", pid=os.getpid(), start_ticks=holder.start_ticks())
    pidfd = jobdir.holder_pidfd(plan)
    assert pidfd is not None
    os.close(pidfd)
    facts(plan)
    assert jobdir.holder_pidfd(plan) is None
