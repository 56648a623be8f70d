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
    own.wait_until("systemctl show -P ExecMainStatus ffmpeg-worker | grep -x 78")
    assert "/etc/ffmpeg-worker/api-key" in own.run("journalctl -o cat -u ffmpeg-worker").stdout
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
    # Outputs elsewhere are theirs; a number is not given to somebody else.
    assert len(own.run(ACCOUNTS).stdout.splitlines()) == 3


STATE = "/var/lib/ffmpeg-worker"
#: What lies where a purge comes by, and is somebody else's.
FOREIGN = f"""
mkdir -p /srv/nas /srv/fast /srv/masters /etc/ffmpeg-worker/tls
echo precious | tee /srv/nas/film.mov /srv/fast/clip.mov /srv/masters/reel.mov
echo precious | tee {STATE}/output/done.mp4 /var/lib/ffmpeg-master/backup.db
echo precious > /etc/ffmpeg-worker/tls/corporate.pem
mount --bind /srv/nas {STATE}/input
mkdir {STATE}/jobs/other {STATE}/jobs/old.1
mount --bind /srv/fast {STATE}/jobs/other
ln -s /srv/masters {STATE}/control/link
"""
KEPT = (
    "/srv/nas/film.mov /srv/fast/clip.mov /srv/masters/reel.mov"
    " /etc/ffmpeg-worker/tls/corporate.pem"
    f" {STATE}/input/film.mov {STATE}/jobs/other/clip.mov {STATE}/output/done.mp4"
    " /var/lib/ffmpeg-master/backup.db"
)
#: Where documents have people put secrets, or commands of ours make them.
SECRETS = """
ffmpeg-master init-tls --host jobs.example >/dev/null
ffmpeg-master init-tls --client ada >/dev/null
install -o ffmpeg-master -m 600 /dev/stdin /etc/ffmpeg-worker/webhook-secret </dev/null
"""


def test_a_purge_keeps_media_and_whatever_is_mounted(own: Machine, debs: list[Path]) -> None:
    own.run(SECRETS + FOREIGN, check=True)
    own.run("apt-get purge --yes ffmpeg-worker", check=True)
    assert own.run(f"cat {KEPT}", check=True).stdout == "precious\n" * len(KEPT.split())
    own.run(f"umount {STATE}/jobs/other", check=True)
    own.install(debs)
    own.run(f"mkdir -p {STATE}/jobs/old.1", check=True)
    purge(own, debs)
    kept = set(KEPT.split()) - {f"{STATE}/jobs/other/clip.mov"}
    assert own.run(["cat", *kept], check=True).stdout == "precious\n" * len(kept)
    left = own.run(f"find /etc/ffmpeg-worker {STATE} /var/lib/ffmpeg-master -type f").stdout
    assert {path for path in left.split() if not path.startswith("/etc/ffmpeg-worker/tls/")} <= kept
    assert own.run("ls /etc/ffmpeg-worker/tls").stdout == "corporate.pem\n"
    assert not own.run(f"ls {STATE}/jobs {STATE}/control").stdout
