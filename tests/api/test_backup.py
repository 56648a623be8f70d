"""A copy that is made while the master works holds every job accepted before; it can be served."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Outcome, Role, State
from tests.api.conftest import JOB, MACHINE, PATIENCE_SECONDS, Launch, command, in_thread
from tests.postgres import Postgres


def test_backup_and_restore_while_jobs_come_in(
    launch: Launch, tmp_path: Path, home: tuple[Path, dict[Role, str]]
) -> None:
    master = launch().ready()
    user, worker = master.client(Role.SUBMIT), master.client(Role.WORKER)
    worker.register("ada", MACHINE)
    before = user.submit(JOB).id
    held = worker.claim("ada", 5)
    assert held is not None and held.job_id == before
    thread, later = in_thread(lambda: [user.submit(JOB).id for _ in range(100)])
    copy = tmp_path / "copy.db"
    made = command(master.directory, "backup", str(copy))
    assert (made.returncode, made.stderr) == (0, "")
    assert copy.stat().st_mode & 0o777 == 0o600
    thread.join(PATIENCE_SECONDS)
    worker.put_log(held.job_id, held.attempt, held.token, b"after the copy")

    # The machine is lost; the copy goes to another one.
    master.kill()
    for file in home[0].glob("master.db*"):
        file.unlink()
    shutil.copy(copy, home[0] / "master.db")
    restored = launch().ready()
    shown = {job.id: job.state for job in restored.client().jobs()}
    assert shown.pop(before) is State.RUNNING
    assert set(shown) <= set(later[0])
    # Its worker goes on with what it held, and new jobs come.
    worker.finish(held.job_id, held.attempt, held.token, Outcome(State.COMPLETED))
    assert restored.client().job(before).state is State.COMPLETED
    assert restored.client().submit(JOB).state is State.QUEUED


def test_a_file_that_is_there_is_not_overwritten(
    home: tuple[Path, dict[Role, str]], tmp_path: Path
) -> None:
    (home[0] / "master.toml").write_text(f'database = "sqlite:///{home[0]}/master.db"\n')
    (tmp_path / "copy.db").write_text("precious")
    refused = command(home[0], "backup", str(tmp_path / "copy.db"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "File exists" in refused.stderr
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_what_is_not_there_is_not_created(tmp_path: Path) -> None:
    (tmp_path / "master.toml").write_text(f'database = "sqlite:///{tmp_path}/none.db"\n')
    refused = command(tmp_path, "backup", str(tmp_path / "copy.db"))
    assert (refused.returncode, "there is no database" in refused.stderr) == (1, True)
    assert [file.name for file in tmp_path.iterdir()] == ["master.toml"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as which people run it")
def test_root_leaves_no_files_of_its_own_beside_the_database(tmp_path: Path) -> None:
    # Not below pytest's own directory, which others may not enter.
    with tempfile.TemporaryDirectory() as directory:
        place, copy = Path(directory), tmp_path / "copy.db"
        (tmp_path / "master.toml").write_text(f'database = "sqlite:///{place}/master.db"\n')
        command(tmp_path, "keys", "list")
        for path in (place, *place.iterdir()):
            shutil.chown(path, "nobody")
        made = command(tmp_path, "backup", str(copy))
        assert (made.returncode, made.stderr) == (0, "")
        assert {path.owner() for path in place.iterdir()} == {"nobody"}
        assert copy.owner() == "root"


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_postgresql_says_how_it_is_backed_up(url: str, tmp_path: Path) -> None:
    (tmp_path / "master.toml").write_text(f'database = "{url}"\n')
    refused = command(tmp_path, "backup", str(tmp_path / "copy"))
    assert (refused.returncode, "pg_dump" in refused.stderr) == (1, True)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_postgresql_is_dumped_and_restored(url: str, postgres: Postgres, tmp_path: Path) -> None:
    (tmp_path / "master.toml").write_text(f'database = "{url}"\n')
    made = command(tmp_path, "keys", "create", "--name", "ann", "--role", "read")
    assert made.returncode == 0, made.stderr
    database = url.rpartition("/")[0] and url.split("@/")[1].split("?", maxsplit=1)[0]
    dump = tmp_path / "jobs.dump"
    postgres.client("pg_dump", "--format=custom", f"--file={dump}", database)
    empty = postgres.create()
    postgres.client("pg_restore", f"--dbname={empty}", str(dump))
    (tmp_path / "master.toml").write_text(f'database = "{postgres.url(empty)}"\n')
    assert "ann" in command(tmp_path, "keys", "list").stdout
    postgres.drop(empty)
