"""Where outputs go, on a real machine: nobody's file is replaced, no folder is left over, and who
may write in a folder of media reads nothing of the worker's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.system.farm import WORKER_TOML, Farm

pytestmark = pytest.mark.lab

CLIP = "/var/lib/ffmpeg-worker/input/clip.mp4"
OUTPUT = "/var/lib/ffmpeg-worker/output"
QUICK = ("--scenario", "preview", "--width", "320", "--duration", "1")


def ended(farm: Farm, *flags: str) -> dict[str, Any]:
    return farm.wait_for(farm.submit(*QUICK, *flags))


def modes(farm: Farm, *paths: str) -> list[str]:
    return farm.run(["stat", "--format=%a %G", *paths]).stdout.splitlines()


def test_a_file_that_was_there_is_replaced_by_who_says_so(container: Farm) -> None:
    path = f"{OUTPUT}/kept/there.mp4"
    container.run(f"install -d -o ffmpeg-worker -m 0755 {OUTPUT}/kept && echo old >{path}")
    job = ended(container, "--input", CLIP, "--output", path)
    assert (job["state"], job["reason"], job["attempt"]) == ("failed", "output_error", 1)
    assert f"output: {path} is there already" in job["error"]
    assert container.run(["cat", path]).stdout == "old\n"
    assert container.run(["ls", "-A", f"{OUTPUT}/kept"]).stdout == "there.mp4\n"
    job = ended(container, "--input", CLIP, "--output", path, "--overwrite")
    assert job["state"] == "completed", job
    mark = f'python3 -c \'import os; print(os.getxattr("{path}", "user.ffmpeg-job").decode())\''
    assert container.run(mark).stdout.strip() == job["id"]


def test_an_input_that_is_no_media_leaves_no_folders(container: Farm) -> None:
    container.run("echo nothing >/var/lib/ffmpeg-worker/input/nothing.mp4")
    for name in ("nothing.mp4", "missing.mp4"):
        source = f"/var/lib/ffmpeg-worker/input/{name}"
        job = ended(container, "--input", source, "--output", f"{OUTPUT}/new/folder/film.mp4")
        assert job["reason"] == "input_error", job
        assert ("enforced" in job) is (name == "nothing.mp4")
        container.machine.wait_until(f"! test -e {OUTPUT}/new", timeout=60)


@contextmanager
def settings(farm: Farm, **wanted: str) -> Iterator[None]:
    edits = "; ".join(f's/^# {name} = .*/{name} = "{value}"/' for name, value in wanted.items())
    farm.run(f"cp {WORKER_TOML} /root/worker.toml")
    try:
        farm.run(f"sed -i '{edits}' {WORKER_TOML} && systemctl restart ffmpeg-worker")
        yield
    finally:
        farm.run(f"cp /root/worker.toml {WORKER_TOML} && systemctl restart ffmpeg-worker")


def test_rights_are_as_the_operator_sets_them(container: Farm) -> None:
    container.run(f"rm -rf {OUTPUT}/plain {OUTPUT}/set")
    plain, made = f"{OUTPUT}/plain/film.mp4", f"{OUTPUT}/set/film.mp4"
    assert ended(container, "--input", CLIP, "--output", plain)["state"] == "completed"
    # The group is the folder's, which is set-gid.
    assert modes(container, plain) == ["640 ffmpeg-operators"]
    assert modes(container, f"{OUTPUT}/plain") == ["2750 ffmpeg-operators"]
    wanted = {"file_mode": "0604", "folder_mode": "0705", "group": "ffmpeg-worker"}
    with settings(container, **wanted):
        assert ended(container, "--input", CLIP, "--output", made)["state"] == "completed"
    assert modes(container, made, f"{OUTPUT}/set") == ["604 ffmpeg-worker", "2705 ffmpeg-worker"]


def test_a_volume_that_cannot_be_written_is_no_fault_of_the_input(container: Farm) -> None:
    container.run(f"mkdir -p {OUTPUT}/sick && mount -t tmpfs -o ro none {OUTPUT}/sick")
    try:
        where = ("--input", CLIP, "--output", f"{OUTPUT}/sick/film.mp4")
        job = ended(container, *where, "--max-attempts", "1")
        assert (job["state"], job["reason"]) == ("failed", "output_error")
        assert "Read-only file system" in job["error"]
        again = container.submit(*QUICK, *where)
        container.machine.wait_until(
            f"{container.ask(f'/jobs/{again}')} | jq -e '.state == \"queued\" and .attempt == 1'",
            timeout=60,
        )
        container.end(again)
    finally:
        container.run(f"umount {OUTPUT}/sick && rmdir {OUTPUT}/sick")


#: A local user swaps a folder of inputs for the worker's own, and back, as fast as he can.
SWAPS = """
import os
os.chdir("/var/lib/ffmpeg-worker/input/swapped")
os.symlink("/var/lib/ffmpeg-worker", "link")
while not os.path.exists("/root/enough"):
    os.rename("there", "kept"); os.rename("link", "there")
    os.rename("there", "link"); os.rename("kept", "there")
"""


def test_a_link_that_is_swapped_in_leads_to_nothing_of_the_worker_s(container: Farm) -> None:
    folder = "/var/lib/ffmpeg-worker/input/swapped"
    container.run(
        f"rm -rf {folder} /root/enough; mkdir -p {folder}/there && echo no >{folder}/there/own.mp4"
        f" && chmod -R a+rX {folder}"
        f" && install -o ffmpeg-worker -m 0600 {CLIP} /var/lib/ffmpeg-worker/own.mp4"
    )
    container.machine.write("/root/swaps.py", SWAPS)
    container.run("python3 /root/swaps.py >/dev/null 2>&1 &")
    try:
        for _ in range(6):
            job = ended(container, "--input", f"{folder}/there/own.mp4", "--max-attempts", "1")
            # Or bubblewrap finds that the folder is another one by then.
            assert job["state"] == "failed", job
            assert job["reason"] in ("input_error", "internal_error"), job
    finally:
        container.run("touch /root/enough; rm /var/lib/ffmpeg-worker/own.mp4")


def test_a_worker_without_a_key_says_so(container: Farm) -> None:
    key = "/etc/ffmpeg-worker/api-key"
    container.run(f"mv {key} /root/api-key; systemctl restart ffmpeg-worker", check=False)
    try:
        show = "systemctl show -P ExecMainStatus ffmpeg-worker"
        container.machine.wait_until(f'test "$({show})" = 78', timeout=60)
        container.machine.wait_until(
            f"journalctl -u ffmpeg-worker --no-pager -n 20 | grep -F '{key}: not there, or empty'",
            timeout=30,
        )
    finally:
        container.run(f"mv /root/api-key {key}; systemctl reset-failed ffmpeg-worker")
        container.run("systemctl start ffmpeg-worker")
    container.machine.wait_until("systemctl is-active ffmpeg-worker", timeout=60)
