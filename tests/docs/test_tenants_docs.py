"""The commands and folders of docs/tenants.md work as they are written there."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from pathlib import Path

import pytest
from sqlalchemy import text

from ffmpeg_jobs.model import TenantLimits
from ffmpeg_master import __main__, tenants_command
from ffmpeg_master.store.engine import Store
from ffmpeg_worker.config import read_config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/tenants.md").read_text(encoding="utf-8")
MANUAL = (ROOT / "docs/man/ffmpeg-master.8").read_text(encoding="utf-8").replace("\\-", "-")
COMMANDS = re.findall(r"^ffmpeg-master (.*)$", PAGE, re.MULTILINE)


def test_each_command_does_what_the_page_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is the whole process's stays as it is for the tests after this one.
    monkeypatch.setattr(os, "umask", lambda _mask: 0)
    monkeypatch.setattr(__main__, "set_up_journal", lambda: None)
    file = tmp_path / "master.toml"
    file.write_text(f'database = "sqlite:///{tmp_path}/master.db"\n')
    assert len(COMMANDS) > 8
    for words in COMMANDS:
        status = __main__.main(["--config", str(file), *shlex.split(words)])
        assert (status, capsys.readouterr().err) == (0, ""), words
    store = Store(f"sqlite:///{tmp_path}/master.db")
    with store.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM tenants")).scalar() == 0
        kept = connection.execute(text("SELECT name, serves FROM keys ORDER BY name")).all()
    store.close()
    assert kept == [("ann", None), ("prometheus", None), ("studio-farm", "studio")]


def test_the_folders_are_a_configuration(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "worker.toml"
    file.write_text(example)
    config = read_config(file, {}, {}, key_needed=False)
    assert config.output_roots == (Path("/srv/out/{tenant}"),)


def flags() -> set[str]:
    parser = argparse.ArgumentParser()
    tenants_command.add_parser(parser.add_subparsers())
    shown = tenants_command._LIMITS
    assert set(shown) == set(TenantLimits.__dataclass_fields__)
    return {tenants_command._flag(name) for name in shown}


def test_every_limit_is_in_both_pages() -> None:
    assert flags() == set(re.findall(r"^\| `(--[a-z-]+)`", PAGE, re.MULTILINE))
    part = MANUAL.split(".SH TENANTS\n")[1].split(".SH ")[0]
    assert flags() == set(re.findall(r"^\.BI (--[a-z-]+) ", part, re.MULTILINE))
