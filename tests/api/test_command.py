"""The command line: bad configurations, keys, help."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Role
from ffmpeg_jobs.problems import Forbidden, Unauthorized
from tests.api.conftest import JOB, Launch, command, until


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[leases]\nlease_seconds = 0", "[leases] lease_seconds: 0 is not a whole number"),
        ('color = "red"', "color: unknown; allowed are bind, connections_per_address, database"),
        ("[leases]\nheartbeat_seconds = 40", "heartbeat_seconds: 40 is more than half of"),
        ('bind = "8080"', 'bind: "8080" is not an address and a port'),
        ('[tls]\ntls_key = "/k"', "[tls] tls_certificate: not set"),
        ("bind = ", "master.toml: "),
    ],
)
def test_a_bad_configuration_ends_with_78(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "master.toml").write_text(text)
    run = command(tmp_path)
    assert run.returncode == 78
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_keys_are_rotated_while_it_serves(launch: Launch) -> None:
    master = launch().ready()
    made = command(master.directory, "keys", "create", "--name", "new", "--role", "read")
    new = master.client_with(made.stdout.strip())
    old = master.client(Role.READ)
    assert list(new.jobs(limit=1)) == list(old.jobs(limit=1))
    assert command(master.directory, "keys", "revoke", "new").returncode == 0

    def refused() -> bool:
        try:
            new.workers()
        except Unauthorized:
            return True
        return False

    until(refused)
    old.workers()
    with pytest.raises(Forbidden):
        old.submit(JOB)


def test_key_files_are_private_and_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "master.toml").write_text(f'database = "sqlite:///{tmp_path}/master.db"\n')
    file = tmp_path / "key"
    create = ["keys", "create", "--role", "worker", "--key-file", str(file), "--name"]
    run = command(tmp_path, *create, "one")
    assert (run.returncode, run.stdout) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "master.db").stat().st_mode & 0o777 == 0o600
    secret = file.read_text()
    run = command(tmp_path, *create, "two")
    assert run.returncode == 1
    assert "File exists" in run.stderr
    assert file.read_text() == secret
    file.unlink()
    run = command(tmp_path, *create, "one")
    assert run.returncode == 1
    assert "a key is named one already" in run.stderr
    assert not file.exists()
    listed = command(tmp_path, "keys", "list", "--json").stdout
    assert '"name": "one", "role": "worker"' in listed
    assert secret.strip() not in listed


def test_what_bounds_a_key_is_set_and_listed(tmp_path: Path) -> None:
    (tmp_path / "master.toml").write_text(f'database = "sqlite:///{tmp_path}/master.db"\n')

    def create(name: str, role: str, *more: str) -> str:
        run = command(tmp_path, "keys", "create", "--name", name, "--role", role, *more)
        return run.stderr

    assert create("ann", "submit", "--tenant", "studio", "--expires", "90d") == ""
    assert create("ada", "worker", "--worker", "ada-1", "--expires", "2999-01-31") == ""
    assert create("ada-2", "worker", "--replaces", "ada") == ""
    for words, bad in (
        ("days, as 90d, or a date to come", ["read", "--expires", "2001-01-31"]),
        ("days, as 90d, or a date to come", ["read", "--expires", "soon"]),
        ("set with --role worker only", ["read", "--worker", "ada"]),
        ("set with --role worker only", ["admin", "--replaces", "ada"]),
        ("no worker's key is named ann", ["worker", "--replaces", "ann"]),
        ("letters, digits", ["read", "--tenant", "a b"]),
    ):
        assert words in create("bad", *bad)
    assert command(tmp_path, "keys", "revoke", "ada-2").returncode == 0
    ada, second, ann = json.loads(command(tmp_path, "keys", "list", "--json").stdout)
    assert (ann["name"], ann["tenant"]) == ("ann", "studio")
    lasts = datetime.fromisoformat(ann["expires_at"]) - datetime.fromisoformat(ann["created_at"])
    assert round(lasts.total_seconds() / 86400) == 90
    assert (ada["worker"], ada["expires_at"]) == ("ada-1", "2999-01-31T00:00:00.000Z")
    assert (second["replaces"], "revoked_at" in second) == ("ada", True)
    lines = command(tmp_path, "keys", "list").stdout.splitlines()
    shown = (
        ("ada ", "worker", "valid", "worker ada-1", "expires 2999-01-31", "never used"),
        ("ada-2 ", "worker", "revoked", "replaces ada"),
        ("ann ", "submit", "studio", "valid"),
    )
    for line, parts in zip(lines, shown, strict=True):
        assert [part for part in parts if part not in line] == []


def test_help_teaches_and_the_example_is_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "master.toml").write_text("")
    assert "keys create --name ann --role submit" in command(tmp_path, "--help").stdout
    printed = command(tmp_path, "--print-example-config").stdout
    lines = [line.removeprefix("# ") for line in printed.splitlines() if " = " in line]
    assert "lease_seconds = 60" in lines


@pytest.mark.parametrize("words", [("--print",), ("keys", "list", "--js")])
def test_flags_are_written_out(tmp_path: Path, words: tuple[str, ...]) -> None:
    run = command(tmp_path, *words)
    assert run.returncode == 2
    assert f"unrecognized arguments: {words[-1]}" in run.stderr
