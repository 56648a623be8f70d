"""Real holders, forked in the nursery or started alone: whose children they are, what ends them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ffmpeg_worker import hold as module
from ffmpeg_worker import jobdir
from ffmpeg_worker.hold import Held, Nursery, hold
from ffmpeg_worker.pidfd import has_ended
from ffmpeg_worker.plan import Plan, opening
from tests.unit.test_plan import CONFIG, planned


def recorded(directory: Path) -> Plan:
    plan = planned(replace(CONFIG, state_directory=directory))
    jobdir.record(plan)
    return plan


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: text.strip() for name, _, text in (line.partition(":") for line in lines)}


def held_by(
    plan: Plan, between: Callable[[Nursery], None] = lambda _: None, *, ends: bool = False
) -> None:
    """Hold it twice, with something between; each is as a holder must be."""

    async def story() -> None:
        nursery = Nursery()
        for turn in range(2):
            held = hold(plan, nursery)
            if ends:
                nursery.close()
            check(plan, held)
            if turn == 0:
                between(nursery)
        nursery.close()

    asyncio.run(story())


def check(plan: Plan, held: Held) -> None:
    of_holder = status(held.pid)
    assert int(of_holder["PPid"]) == os.getpid()
    assert int(of_holder["SigBlk"], 16) >> signal.SIGTERM - 1 & 1
    os.kill(held.pid, signal.SIGTERM)
    while jobdir.holder_pid(plan) != held.pid:
        time.sleep(0.01)
    assert os.getsid(held.pid) == held.pid
    held.gate.close()
    ended = os.waitid(os.P_PIDFD, held.pidfd, os.WEXITED)
    assert ended is not None
    assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 0)
    os.close(held.pidfd)


def test_a_holder_is_our_child_and_hears_no_sigterm(tmp_path: Path) -> None:
    held_by(recorded(tmp_path))


def test_a_holder_outlives_its_nursery(tmp_path: Path) -> None:
    held_by(recorded(tmp_path), ends=True)


def kill(nursery: Nursery) -> None:
    assert nursery._at is not None
    pid = nursery._at[0]
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_nursery_that_was_killed_is_replaced(tmp_path: Path) -> None:
    held_by(recorded(tmp_path), between=kill)


def test_without_a_nursery_a_holder_is_started_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade is putting another in its place."""
    monkeypatch.setattr(module, "NURSERY", tmp_path / "not there")
    held_by(recorded(tmp_path))


def test_a_nursery_that_nobody_needs_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.1)
    plan, pids = recorded(tmp_path), []

    async def story() -> None:
        nursery = Nursery()
        check(plan, hold(plan, nursery))
        assert nursery._at is not None
        pids.append(nursery._at[0])
        await asyncio.sleep(0.5)

    asyncio.run(story())
    assert not Path(f"/proc/{pids[0]}").exists()


def test_the_gate_ends_with_the_command_not_with_what_follows_it(tmp_path: Path) -> None:
    """The job's place is free while its output is still looked at."""
    plan = replace(recorded(tmp_path), run=("true",), probe=("sleep", "600"), staged=None)

    async def story() -> Held:
        nursery = Nursery()
        held = hold(plan, nursery)
        held.gate.sendall(opening(plan))
        held.gate.shutdown(socket.SHUT_WR)
        nursery.close()
        return held

    held = asyncio.run(story())
    with held.gate as gate:
        gate.settimeout(60)
        assert gate.recv(1) == b""
    assert not has_ended(held.pidfd)
    while not (children := Path(f"/proc/{held.pid}/task/{held.pid}/children").read_text().split()):
        time.sleep(0.01)
    os.kill(int(children[0]), signal.SIGKILL)
    assert os.waitid(os.P_PIDFD, held.pidfd, os.WEXITED)
    os.close(held.pidfd)
    facts = jobdir.holder_facts(plan)
    assert facts is not None
    assert facts.exit_status == -signal.SIGKILL
