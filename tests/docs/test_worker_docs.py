"""The manual page of ``ffmpeg-worker`` names its commands, flags, settings and metrics."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from ffmpeg_worker import metrics
from ffmpeg_worker.commands import COMMANDS
from ffmpeg_worker.config import SETTINGS
from ffmpeg_worker.rules import CAPACITY_SETTINGS, PRESSURE_SETTINGS

PAGE = Path(__file__).parents[2] / "docs/man/ffmpeg-worker.8"
TEXT = PAGE.read_text(encoding="utf-8").replace("\\-", "-")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_page(name: str) -> None:
    assert re.search(rf"^\.TP\n\.BR? {name}\b", TEXT, re.MULTILINE)


@pytest.mark.parametrize("flag", [row.flag for row in SETTINGS if row.flag])
def test_every_flag_is_in_the_page(flag: str) -> None:
    assert flag in TEXT


@pytest.mark.parametrize("name", [row.name for row in (*CAPACITY_SETTINGS, *PRESSURE_SETTINGS)])
def test_settings_of_the_machine_are_in_the_page(name: str) -> None:
    assert name in TEXT


def test_metrics_of_the_machine_are_in_the_page() -> None:
    metrics.set_running(0)
    names = {metric.name for metric in REGISTRY.collect()}
    ours = {n for n in names if n.startswith(("free_", "held_", "pressure_", "limits_", "disk_"))}
    assert len(ours) == 8
    assert {name for name in ours if name not in TEXT} == set()


def test_the_page_is_sound() -> None:
    command = ["groff", "-man", "-t", "-ww", "-Tutf8", "-z", str(PAGE)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""
