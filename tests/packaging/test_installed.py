"""What apt leaves: both services run, keys only root reads, units as tight as promised."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab.machine import Machine

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
UNITS = (
    "ffmpeg-master.service ffmpeg-master.socket"
    " ffmpeg-worker.service ffmpeg-worker-launcher.service ffmpeg.slice"
    " ffmpeg-worker-clean.timer ffmpeg-worker-clean.service"
)


def test_both_services_run_and_meet(installed: Machine) -> None:
    installed.wait_until("systemctl is-active ffmpeg-master ffmpeg-master.socket ffmpeg-worker")
    installed.wait_until("ffmpeg-jobs workers --json | jq -e '.[0].online'")
    assert installed.run("systemctl --failed --plain --no-legend").stdout == ""
    enabled = installed.run(f"systemctl is-enabled {UNITS}").stdout.split()
    assert enabled == [*["enabled"] * 3, "static", "static", "enabled", "static"]
    assert installed.run("systemctl is-active ffmpeg-worker-clean.timer").stdout == "active\n"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/ffmpeg-worker/admin-key", "600 root root"),
        ("/etc/ffmpeg-worker/api-key", "600 root root"),
        ("/etc/ffmpeg-worker/master.toml", "640 root ffmpeg-master"),
        ("/etc/ffmpeg-worker/worker.toml", "644 root root"),
        ("/etc/ffmpeg-worker/launcher.toml", "644 root root"),
        ("/var/lib/ffmpeg-master", "750 ffmpeg-master ffmpeg-master"),
        ("/var/lib/ffmpeg-master/master.db", "600 ffmpeg-master ffmpeg-master"),
        ("/var/lib/ffmpeg-worker/jobs", "700 ffmpeg-worker ffmpeg-worker"),
        ("/var/lib/ffmpeg-worker/input", "2775 ffmpeg-worker ffmpeg-operators"),
        ("/var/lib/ffmpeg-worker/output", "2775 ffmpeg-worker ffmpeg-operators"),
    ],
)
def test_files_belong_to_who_needs_them(installed: Machine, path: str, expected: str) -> None:
    assert installed.run(["stat", "--format=%a %U %G", path]).stdout.strip() == expected


def test_no_secret_is_in_a_log(installed: Machine) -> None:
    installed.run("journalctl --all > /root/journal", check=True)
    for name in ("admin-key", "api-key"):
        secret = installed.read(f"/etc/ffmpeg-worker/{name}").strip()
        assert len(secret) > 40
        found = installed.run(
            ["grep", "-rl", "--", secret, "/var/log", "/root/journal", "/run/log"]
        )
        assert found.stdout == ""


def test_systemd_understands_every_line(installed: Machine) -> None:
    done = installed.run(f"systemd-analyze verify --man=no {UNITS}", check=True)
    assert [line for line in done.stderr.splitlines() if "ffmpeg" in line] == []


@pytest.mark.parametrize(
    ("unit", "tenths"),
    [
        ("ffmpeg-worker", 31),
        ("ffmpeg-worker-launcher", 10),
        ("ffmpeg-worker-clean", 10),
        ("ffmpeg-master", 13),
    ],
)
def test_exposure_stays_as_small_as_it_is(installed: Machine, unit: str, tenths: int) -> None:
    command = f"systemd-analyze security --no-pager --threshold={tenths} {unit}.service"
    done = installed.run(command)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_each_point_that_the_worker_s_unit_has_is_accounted_for(installed: Machine) -> None:
    page = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    command = "systemd-analyze security --no-pager ffmpeg-worker.service"
    rows = [line.split() for line in installed.run(command).stdout.splitlines()]
    points = {row[1].partition("=~")[::2] for row in rows if row and row[0] == "\u2717"}
    assert ("RestrictNamespaces", "user") in points
    by_name = [name for name, _ in points if f"`{name.removesuffix('=')}=" not in page]
    by_part = [
        part
        for name, part in points
        if name in ("SystemCallFilter", "RestrictAddressFamilies")
        and f"~{part.partition('|')[0]}" not in page
    ]
    assert (by_name, by_part) == ([], [])


def test_d_bus_starts_the_launcher_for_those_who_may_ask(installed: Machine) -> None:
    ask = "busctl introspect org.ffmpeg_worker.Launcher1 /org/ffmpeg_worker/Launcher1"
    shown = installed.run(ask, user="nobody", check=True).stdout
    assert {"StartJob", "StopJob", "SetLimits", "Freeze", "Thaw"} <= {
        line.split()[0].lstrip(".") for line in shown.splitlines()
    }
    assert installed.run("systemctl is-active ffmpeg-worker-launcher").stdout == "active\n"


def test_operators_place_inputs_and_others_do_not(installed: Machine) -> None:
    installed.run("id olga || useradd --groups ffmpeg-operators olga", check=True)
    place = "cd /var/lib/ffmpeg-worker/input && touch mine && rm mine"
    assert installed.run(["sh", "-c", place], user="olga").returncode == 0
    assert installed.run(["sh", "-c", place], user="nobody").returncode != 0


def test_bash_completes_verbs(installed: Machine) -> None:
    script = (
        "source /usr/share/bash-completion/completions/ffmpeg-jobs;"
        "COMP_WORDS=(ffmpeg-jobs sub) COMP_CWORD=1; _ffmpeg_jobs ffmpeg-jobs;"
        'echo "${COMPREPLY[@]}"'
    )
    assert installed.run(["bash", "-c", script]).stdout == "submit\n"


def test_the_pages_are_readable(installed: Machine) -> None:
    for path in ("man1/ffmpeg-jobs.1", "man8/ffmpeg-master.8", "man8/ffmpeg-worker.8"):
        assert installed.run(f"zcat /usr/share/man/{path}.gz | grep -q '^.SH'").returncode == 0
