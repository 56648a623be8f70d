"""Upgrade, reinstallation, removal, purge: what stays, and what goes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from lab.layers import field
from lab.machine import Machine

from tests.system.farm import Farm

pytestmark = pytest.mark.lab

SMOKE = Path(__file__).parents[2] / "packaging/debian/tests/smoke"
PIDS = "systemctl show -P MainPID ffmpeg-master ffmpeg-worker"
#: Since when the port is open.
OPEN_SINCE = "systemctl show -P ActiveEnterTimestampMonotonic ffmpeg-master.socket"
KEYS = "sha256sum /etc/ffmpeg-worker/admin-key /etc/ffmpeg-worker/api-key"
#: Everything on the machine that carries a name of ours, except what the lab put there.
OURS = (
    r"find / -xdev -regextype egrep -path '/var/*/lab*' -prune -o"
    r" -regex '.*ffmpeg([-_](jobs|master|worker|operators)|\.slice).*' -print"
)
ACCOUNTS = "getent passwd ffmpeg-master ffmpeg-worker; getent group ffmpeg-operators; true"


def newer(debs: list[Path], directory: Path) -> list[Path]:
    """The same packages under the next version."""
    made = []
    for deb in debs:
        tree, package = directory / deb.stem, directory / deb.name
        subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
        control = tree / "DEBIAN/control"
        version = field(deb, "Version")
        control.write_text(control.read_text().replace(version, f"{version}+1"))
        subprocess.run(["dpkg-deb", "--build", tree, package], check=True, capture_output=True)
        made.append(package)
    return made


def purge(machine: Machine, debs: list[Path]) -> None:
    names = [field(deb, "Package") for deb in debs]
    machine.run(["apt-get", "purge", "--yes", *names], check=True)


def test_the_smoke_test_of_the_package_encodes(container: Farm) -> None:
    container.machine.push(SMOKE, "/root/smoke")
    assert "h264" in container.run(["sh", "/root/smoke"]).stdout


def test_an_upgrade_leaves_encodes_keys_and_settings_alone(
    container: Farm, debs: list[Path], tmp_path: Path
) -> None:
    container.run("echo '# by hand' >> /etc/ffmpeg-worker/worker.toml")
    keys = container.run(KEYS).stdout
    daemons = set(container.run(PIDS).stdout.split())
    open_since = container.run(OPEN_SINCE).stdout
    job = container.submit("--scenario", "preview", "--duration", "3600", "--cpu", "10")
    encoder = container.started(job)
    container.machine.install(newer(debs, tmp_path))
    assert daemons.isdisjoint(container.run(PIDS).stdout.split())
    assert container.run(OPEN_SINCE).stdout == open_since
    assert container.started(job) == encoder
    assert container.job(job)["attempt"] == 1
    assert container.run(KEYS).stdout == keys
    assert "# by hand" in container.machine.read("/etc/ffmpeg-worker/worker.toml")
    container.end(job)


def test_a_worker_alone_waits_for_its_key(own: Machine, debs: list[Path]) -> None:
    purge(own, debs)
    alone = [d for d in debs if field(d, "Package") in ("ffmpeg-worker", "python3-ffmpeg-jobs")]
    own.install(alone)
    assert own.run("systemctl show -P AssertResult ffmpeg-worker").stdout == "no\n"
    # The master on the same machine brings one.
    own.install(debs)
    own.wait_until("systemctl is-active ffmpeg-worker")
    own.wait_until("ffmpeg-jobs workers --json | jq -e '.[0].online'")


def test_what_is_lost_is_made_anew_and_a_purge_leaves_nothing(
    own: Machine, debs: list[Path]
) -> None:
    farm = Farm(own)
    own.wait_until("ffmpeg-jobs workers --json | jq -e '.[0].online'")
    job = farm.submit("--scenario", "preview", "--duration", "3600", "--no-require-enforcement")
    farm.started(job)
    own.run("apt-get purge --yes ffmpeg-worker", check=True)
    shown = farm.job(job)
    assert (shown["state"], shown["given_back"]) == ("queued", 1)
    left = own.run(OURS).stdout
    assert "/etc/ffmpeg-worker/api-key" not in left
    assert "/var/lib/ffmpeg-worker" not in left
    assert "/etc/ffmpeg-worker/admin-key" in left
    assert own.run("systemctl is-active ffmpeg-master").stdout == "active\n"
    # The worker's old key went with it; its name is taken in the master's store.
    own.run("dpkg-reconfigure ffmpeg-master", check=True)
    own.install(debs)
    own.wait_until("ffmpeg-jobs workers --json | jq -e '.[0].online'")
    farm.started(job)
    own.run("apt-get remove --yes ffmpeg-master ffmpeg-worker", check=True)
    assert "/var/lib/ffmpeg-master/master.db" in own.run(OURS).stdout
    purge(own, debs)
    assert own.run(OURS).stdout == ""
    assert own.run(ACCOUNTS).stdout == ""
