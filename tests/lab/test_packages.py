"""Packages are installed by apt, for real, from the repository inside the machine."""

import subprocess
from pathlib import Path

import pytest
from lab.errors import LabError
from lab.machine import boot
from lab.spec import Backend

pytestmark = pytest.mark.lab
POSTINST = """#!/bin/sh
set -e
deb-systemd-helper enable lab-sample.service >/dev/null || systemctl enable lab-sample
systemctl daemon-reload
systemctl restart lab-sample
"""
UNIT = "[Service]\nExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"


def make_deb(directory: Path, version: str, depends: str) -> Path:
    root = directory / f"root-{version}"
    for name, content, mode in (
        (
            "DEBIAN/control",
            f"Package: lab-sample\nVersion: {version}\nArchitecture: all\n"
            f"Maintainer: Lab <lab@example.org>\nDepends: {depends}\nDescription: a sample\n",
            0o644,
        ),
        ("DEBIAN/postinst", POSTINST, 0o755),
        ("usr/lib/systemd/system/lab-sample.service", UNIT, 0o644),
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
    deb = directory / f"lab-sample_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", str(root), str(deb)],
        check=True,
        capture_output=True,
    )
    return deb


@pytest.mark.parametrize("backend", ["container", pytest.param("vm", marks=pytest.mark.vm)])
def test_a_package_brings_its_dependencies_and_its_service_runs(
    backend: Backend, tmp_path: Path
) -> None:
    first = make_deb(tmp_path, "1", "bubblewrap, adduser")
    with boot("bookworm", backend, debs=[first]) as machine:
        machine.run(["bwrap", "--version"], check=True)
        machine.wait_until("systemctl is-active lab-sample")
        # An upgrade that needs more than before, offline.
        machine.install([make_deb(tmp_path, "2", "bubblewrap, adduser, python3-tomli")])
        machine.run(["python3", "-c", "import tomli"], check=True)
        version = machine.run(["dpkg-query", "-W", "-f", "${Version}", "lab-sample"])
        assert version.stdout == "2"


def test_a_dependency_that_is_not_declared_is_missing(tmp_path: Path) -> None:
    with boot("trixie", "container", debs=[make_deb(tmp_path, "1", "adduser")]) as machine:
        for program in ("bwrap", "ffmpeg", "gunicorn"):
            assert machine.run(["which", program]).returncode == 1


def test_a_dependency_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no-such-package"):
        boot("bookworm", "container", debs=[make_deb(tmp_path, "1", "no-such-package")])


def test_a_file_that_is_no_package_is_told(tmp_path: Path) -> None:
    bad = tmp_path / "bad.deb"
    bad.write_text("x")
    with pytest.raises(LabError, match="not a Debian package"):
        boot("bookworm", "container", debs=[bad])
    with pytest.raises(LabError, match="no such package"):
        boot("bookworm", "container", debs=[tmp_path / "missing.deb"])
