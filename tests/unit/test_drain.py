"""Requests to drain, as files on a real disk, and which of several counts."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ffmpeg_worker import control
from ffmpeg_worker.config import Config
from ffmpeg_worker.drain import Drain, Drains, most_urgent
from ffmpeg_worker.lease import Lease


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(
        master="http://127.0.0.1:1",
        api_key="",
        ca=None,
        client_cert=None,
        client_key=None,
        insecure_skip_verify=False,
        name="ada",
        cpus=2,
        max_concurrent_jobs=1,
        state_directory=tmp_path,
        input_roots=(),
        output_roots=(),
        require_enforcement=False,
        log_level="info",
        max_cpu_percent=200,
        max_memory_mb=1024,
        max_timeout_seconds=600,
        metrics_address="127.0.0.1:0",
        spot_notice_file=tmp_path / "notice",
        spot_grace_seconds=30,
    )


async def up() -> bool:
    return False


@pytest.fixture
def drains(config: Config) -> Drains:
    return Drains(config, up)


def test_nothing_asked_is_nothing_drained(drains: Drains) -> None:
    assert drains.now is None
    assert not drains.look()


def test_a_request_is_followed_until_it_is_taken_back(drains: Drains) -> None:
    control.ask(drains.directory, control.DRAIN, "asked by olga", None)
    assert drains.look()
    assert drains.now == Drain("drain", "asked by olga")
    assert not drains.look()
    assert control.withdraw(drains.directory, control.DRAIN)
    assert drains.look()
    assert drains.now is None
    assert not control.withdraw(drains.directory, control.DRAIN)


def test_it_survives_the_worker(config: Config, drains: Drains) -> None:
    drains.on_signal()
    assert Drains(config, up).now == Drain("drain", "asked by a signal")


@pytest.mark.parametrize(
    "content",
    [
        *("", "please", "[1]", '{"why": 5, "until": "soon"}', "\0"),
        pytest.param("[" * 4000, id="deep"),
    ],
)
def test_a_file_by_hand_asks_too(drains: Drains, content: str) -> None:
    (drains.directory / "drain").write_text(content)
    drains.look()
    assert drains.now is not None
    assert (drains.now.by, drains.now.until) == ("drain", None)


@pytest.mark.parametrize("digits", [400, 4000])
def test_a_time_beyond_all_times_never_comes(drains: Drains, digits: int) -> None:
    (drains.directory / "drain").write_text('{"until": ' + "9" * digits + "}")
    drains.look()
    assert drains.now is not None
    assert not drains.now.due


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_whatever_bears_the_name_asks(
    config: Config, drains: Drains, make: Callable[[Path], None]
) -> None:
    make(drains.directory / "drain")
    assert Drains(config, up).now == Drain("drain", "asked on the machine")
    assert control.withdraw(drains.directory, control.DRAIN)
    assert Drains(config, up).now is None


def test_a_link_is_not_followed(drains: Drains, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text('{"why": "s3cret"}')
    (drains.directory / "drain").symlink_to(tmp_path / "secret")
    drains.look()
    assert drains.now == Drain("drain", "asked on the machine")


def test_a_notice_leaves_its_grace(drains: Drains, tmp_path: Path) -> None:
    (tmp_path / "notice").touch()
    os.utime(tmp_path / "notice", (100, 100))
    drains.look()
    assert drains.now is not None
    assert (drains.now.by, drains.now.until) == ("spot", 130)
    (tmp_path / "notice").unlink()
    drains.look()
    assert drains.now is None


def test_a_signal_of_the_cloud_is_over_with_the_boot(drains: Drains) -> None:
    drains.on_spot_signal()
    drains.look()
    assert drains.now is not None
    assert drains.now.until is not None
    assert time.time() < drains.now.until <= time.time() + 30
    asked = drains.directory / "drain"
    asked.write_text(asked.read_text().replace(control.boot_id(), "another"))
    drains.look()
    assert drains.now is None


def test_the_master_may_ask_and_take_it_back(drains: Drains) -> None:
    drains.obey(True, None)
    assert drains.look()
    assert drains.now == Drain("drain", "asked at the master")
    drains.obey(True, 60)
    assert drains.look()
    for told in (59, 58.5):  # the same moment, told anew
        drains.obey(True, told)
        assert not drains.look()
    drains.obey(True, 0)
    assert drains.look()
    assert drains.now is not None
    drains.now = drains._master = replace(drains.now, until=time.time() - 60)
    drains.obey(True, 0)  # it was due before, too
    assert not drains.look()
    drains.obey(False, None)
    assert drains.look()
    assert drains.now is None


def test_the_most_urgent_counts() -> None:
    calm, soon, now = Drain("drain", "a"), Drain("spot", "b", 60.0), Drain("stop-jobs", "c", 0.0)
    assert most_urgent([]) is None
    assert most_urgent([calm, soon]) == soon
    assert most_urgent([now, calm, soon]) == now


def test_who_is_due_has_to_end(drains: Drains) -> None:
    lease = Lease()
    drains.now = Drain("drain", "maintenance", time.time() + 100)
    drains.hold(lease)
    assert lease.stop_asked_by is None
    drains.now = replace(drains.now, until=time.time() - 1)
    drains.hold(lease)
    assert lease.stop_asked_by == "drain"


def test_a_machine_that_goes_down_leaves_no_time(config: Config) -> None:
    async def goes_down() -> bool:
        return True

    drains = Drains(config, goes_down)
    assert drains.now is None
    assert asyncio.run(drains.machine_stops())
    assert drains.now is not None
    assert (drains.now.by, drains.now.due) == ("shutdown", True)


def test_one_worker_to_a_directory(config: Config, drains: Drains) -> None:
    assert control.worker_runs(drains.directory)
    assert control.make(drains.directory) is None
    assert not control.worker_runs(config.state_directory / "elsewhere")


def test_the_worker_answers(drains: Drains) -> None:
    assert control.told(drains.directory) == control.State()
    state = control.State(3, "asked by olga", 17)
    control.tell(drains.directory, state)
    assert control.told(drains.directory) == state
