"""``ffmpeg-jobs audit``."""

from __future__ import annotations

import json
from pathlib import Path

from ffmpeg_jobs.model import Role
from tests.cli.conftest import Cli, Farm, Worker


def test_it_says_who_did_what(farm: Farm, worker: Worker, tmp_path: Path) -> None:
    admin = farm.cli(tmp_path, Role.ADMIN)
    assert admin.run("drain", worker.name, "--timeout", "600").returncode == 0
    assert admin.run("undrain", worker.name).returncode == 0  # others use it too
    filters = ("--worker", worker.name, "--action", "worker_drained", "--limit", "1")
    done = admin.run("audit", *filters)
    assert done.returncode == 0, done.stderr
    heading, row = done.stdout.splitlines()
    assert heading.split()[:5] == ["TIME", "WHO", "ROLE", "TENANT", "FROM"]
    assert row.split()[1:] == [
        *("admin", "admin", "default", "127.0.0.1"),
        *("worker_drained", worker.name, "timeout_seconds=600"),
    ]
    (entry,) = json.loads(admin.run("audit", *filters, "--json").stdout)
    assert (entry["who"], entry["detail"]) == ("admin", {"timeout_seconds": 600})


def test_only_an_admin_may_read_it(cli: Cli) -> None:
    assert cli.run("audit").returncode == 77


def test_a_time_that_is_none_is_refused(farm: Farm, tmp_path: Path) -> None:
    done = farm.cli(tmp_path, Role.ADMIN).run("audit", "--since", "yesterday")
    assert done.returncode == 1
    assert "since" in done.stderr
