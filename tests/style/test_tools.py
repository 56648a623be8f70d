"""The linters, as tests."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.style.tree import ROOT, tracked

RUFF = str(Path(sys.executable).parent / "ruff")
MYPY = ["/usr/bin/python3", "-m", "mypy"]
SCRIPTS = [
    path
    for path in tracked()
    if path.suffix not in (".py", ".mp4") and re.match(rb"#!/bin/(ba)?sh", path.read_bytes()[:20])
]


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_check() -> None:
    run(RUFF, "check", ".")


def test_ruff_format() -> None:
    run(RUFF, "format", "--check", ".")


@pytest.mark.parametrize("part", ["jobs", "worker", "master", "lab", "bench", "tests"])
def test_mypy_strict(part: str) -> None:
    run(*MYPY, "--strict", part)


def test_spelling() -> None:
    texts = [str(p) for p in tracked() if p.suffix in (".md", ".py", ".toml", ".service", ".8")]
    run("codespell", "--ignore-words-list", "te,hsa,buildd,debians,mater", *texts)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_shellcheck(script: Path) -> None:
    run("shellcheck", "--severity=warning", str(script))


def test_one_version_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    changelog = (ROOT / "packaging/debian/changelog").read_text()
    assert f'__version__ = "{version}"' in (ROOT / "jobs/ffmpeg_jobs/__init__.py").read_text()
    assert changelog.startswith(f"ffmpeg-worker ({version}) ")
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_packages_depend_on_what_the_project_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stanzas = (ROOT / "packaging/debian/control").read_text().split("\n\n")
    depends = {s.split("\n")[0].removeprefix("Package: "): s for s in stanzas if "Package:" in s}
    owner = {"worker": "ffmpeg-worker", "master": "ffmpeg-master", "postgresql": "ffmpeg-master"}
    for extra, needs in project["optional-dependencies"].items():
        for need in needs:
            assert f"python3-{need}" in depends[owner[extra]], need
    client = depends["python3-ffmpeg-jobs"] + depends["ffmpeg-jobs"]
    for need in project["dependencies"]:
        assert f"python3-{need}" in client, need


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("worker.toml", "ffmpeg_worker"),
        ("launcher.toml", "ffmpeg_worker.launcher"),
        ("master.toml", "ffmpeg_master"),
    ],
)
def test_the_packaged_configuration_is_the_program_s_own_example(file: str, module: str) -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-m", module, "--print-example-config"],
        env={"PYTHONPATH": ":".join(str(ROOT / p) for p in ("jobs", "worker", "master"))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ROOT / "packaging/etc" / file).read_text() == done.stdout
