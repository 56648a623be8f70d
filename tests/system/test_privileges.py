"""Nobody gets more than a job's scope out of the launcher, or anything out of systemd."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.farm import Farm

pytestmark = pytest.mark.lab

ATTACKS = Path(__file__).parent / "guest/attacks.py"


def attack(farm: Farm, prefix: str, user: str) -> dict[str, list[str]]:
    """Run every attack after ``prefix``; name to verdict and error name."""
    farm.machine.push(ATTACKS, "/usr/local/share/attacks.py")
    root_pid = farm.run("systemctl show -P MainPID systemd-journald").stdout.strip()
    command = f"{prefix} /usr/bin/python3 /usr/local/share/attacks.py {root_pid}"
    lines = farm.run(command, user=user).stdout.splitlines()
    return {words[0]: words[1:] for words in (line.split() for line in lines)}


def assert_all_refused(farm: Farm, verdicts: dict[str, list[str]]) -> None:
    assert len(verdicts) == ATTACKS.read_text().count('\n        "')
    assert {name: v for name, v in verdicts.items() if v[0] != "refused"} == {}
    assert farm.run("test -e /root/pwned", check=False).returncode == 1
    assert farm.run("systemctl is-active dbus ffmpeg-master systemd-journald").returncode == 0
    assert farm.run("systemctl list-units --plain --no-legend 'ffmpeg-job-a*'").stdout == ""


def test_an_ordinary_user_gets_nothing(container: Farm) -> None:
    container.run("id joe || useradd joe")
    verdicts = attack(container, "", "joe")
    assert_all_refused(container, verdicts)
    assert verdicts["launcher-own-pid-outside-the-worker"][1].endswith("AccessDenied")


def test_the_worker_s_account_gets_nothing_outside_its_service(container: Farm) -> None:
    verdicts = attack(container, "", "ffmpeg-worker")
    assert_all_refused(container, verdicts)
    assert verdicts["launcher-foreign-pid"][1] == "org.ffmpeg_worker.Error.NotAllowed"
    assert verdicts["launcher-unknown-property"][1] == "org.ffmpeg_worker.Error.NotAllowed"


def test_operators_may_do_what_the_rules_say_and_no_more(container: Farm) -> None:
    container.run("id olga || useradd --groups ffmpeg-operators olga")
    job = container.submit("--scenario", "preview", "--duration", "3600", "--cpu", "10")
    container.started(job)
    unit = f"ffmpeg-job-{job}.scope"
    call = "busctl call org.ffmpeg_worker.Launcher1 /org/ffmpeg_worker/Launcher1"
    freeze = f"{call} org.ffmpeg_worker.Launcher1 Freeze s {job}"

    def allowed(command: str, user: str) -> bool:
        return container.run(command, check=False, user=user).returncode == 0

    assert not allowed(freeze, "nobody")
    assert allowed(freeze, "olga")
    assert allowed(freeze.replace("Freeze", "Thaw"), "olga")
    assert not allowed(f"systemctl --no-ask-password stop {unit}", "nobody")
    assert allowed("systemctl --no-ask-password restart ffmpeg-worker", "olga")
    assert allowed("systemctl --no-ask-password reload ffmpeg-worker", "olga")
    assert not allowed("systemctl --no-ask-password restart ffmpeg-master", "olga")
    assert not allowed("systemd-run --no-ask-password true", "olga")
    assert not allowed(f"systemctl --no-ask-password set-property {unit} CPUQuota=1000%", "olga")
    assert allowed(f"systemctl --no-ask-password stop {unit}", "olga")
    # To the worker that is a job that somebody killed: it is tried again.
    container.machine.wait_until(f"{container.ask(f'/jobs/{job}')} | jq -e '.attempt == 2'")
    container.end(job)


def test_a_job_cannot_move_itself_into_a_looser_scope(container: Farm) -> None:
    job = container.submit("--scenario", "preview", "--duration", "3600", "--cpu", "10")
    pid = container.started(job)
    script = f"""
import asyncio, os
from ffmpeg_worker.by_system import BySystem
from ffmpeg_worker.limits import HeldLimits
from ffmpeg_worker.calls import ScopeError
async def main():
    try:
        looser = HeldLimits(800, 9000, 60)
        await BySystem().place("bbbbbbbbbbbb", os.pidfd_open({pid}), looser)
    except ScopeError as error:
        print(error)
asyncio.run(main())
"""
    container.machine.write("/usr/local/share/escape.py", script)
    said = container.run("/usr/bin/python3 /usr/local/share/escape.py", user="ffmpeg-worker").stdout
    container.end(job)
    assert f"is in /ffmpeg.slice/ffmpeg-job-{job}.scope, not in ffmpeg-worker.service" in said
