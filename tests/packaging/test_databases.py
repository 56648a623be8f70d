"""The commands of the pages about databases, as they stand there, on installed machines."""

from __future__ import annotations

import json
import re
from pathlib import Path

from lab.machine import Machine

DOCS = Path(__file__).parents[2] / "docs"
MASTER_TOML = "/etc/ffmpeg-worker/master.toml"
SUBMIT = "ffmpeg-jobs submit --json --scenario preview --duration 5"


def commands(page: str) -> list[str]:
    """The blocks that a person would paste into a root shell."""
    return re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def do(machine: Machine, script: str) -> str:
    return machine.run(["sh", "-ec", script], check=True, timeout=300).stdout


def submit(machine: Machine) -> str:
    job: dict[str, str] = json.loads(do(machine, SUBMIT))
    return job["id"]


def known(machine: Machine) -> set[str]:
    return {job["id"] for job in json.loads(do(machine, "ffmpeg-jobs list --json"))}


def test_sqlite_and_then_postgresql(own: Machine) -> None:
    do(own, "systemctl stop ffmpeg-worker")
    backup, restore, dump, restore_dump = commands("backup.md")

    kept = submit(own)
    do(own, backup)
    lost = submit(own)
    do(own, restore)
    assert known(own) == {kept}, lost

    (create,) = commands("several-masters.md")
    do(own, create)
    setting = 'database = "postgresql:///ffmpeg_master"'
    assert setting in (DOCS / "several-masters.md").read_text(encoding="utf-8")
    do(own, f"sed -i 's|^# database = .*|{setting}|' {MASTER_TOML}")
    do(own, "systemctl restart ffmpeg-master || { journalctl -u ffmpeg-master >&2; exit 1; }")
    create_key = "ffmpeg-master keys create --name new --role admin"
    do(own, f"runuser -u ffmpeg-master -- {create_key} > /etc/ffmpeg-worker/admin-key")

    kept = submit(own)
    do(own, dump)
    lost = submit(own)
    do(own, restore_dump)
    assert known(own) == {kept}, lost
    # What the server's end is to the master: nothing that a person must mend.
    do(own, "systemctl restart postgresql@*-main")
    own.wait_until("ffmpeg-jobs list --json")
    assert known(own) == {kept}
