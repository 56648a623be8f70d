"""Each tenant's own folders: what {tenant} stands for, and what it never stands for."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ffmpeg_jobs.model import Claim, Job
from ffmpeg_jobs.settings import ConfigError
from ffmpeg_worker import clean, roots
from ffmpeg_worker.config import read_config
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.plan import make_plan
from tests.unit.test_plan import CONFIG

OWN = (Path("/srv/out/{tenant}"),)
MIXED = (Path("/srv/shared"), *OWN)


def claim(output: str, tenant: str | None) -> Claim:
    return Claim("abcdefghijkl", 1, "t" * 32, 60, Job(output=output), tenant)


def test_a_tenant_has_its_own_folder_and_no_other() -> None:
    config = replace(CONFIG, output_roots=OWN)
    plan = make_plan(claim("/srv/out/ann/a.mp4", "ann"), config)
    assert plan.publish_to == "/srv/out/ann/a.mp4"
    for place in (
        "/srv/out/bob/a.mp4",
        "/srv/out/ann/../bob/a.mp4",
        "/srv/out/annabel/a.mp4",
        "/srv/out/a.mp4",
        "/srv/out/{tenant}/a.mp4",
    ):
        with pytest.raises(AttemptError, match="not in a folder this worker may use: /srv/out/ann"):
            make_plan(claim(place, "ann"), config)


def test_inputs_are_apart_too() -> None:
    config = replace(CONFIG, input_roots=(Path("/srv/{tenant}/in"),))
    job = Job(input="/srv/ann/in/a.mp4")
    assert make_plan(Claim("a" * 12, 1, "t", 60, job, "ann"), config).source == job.input
    with pytest.raises(AttemptError, match=r"input: .* is not in a folder"):
        make_plan(Claim("a" * 12, 1, "t", 60, job, "bob"), config)


def test_a_job_without_a_tenant_has_what_is_everybodys() -> None:
    with pytest.raises(AttemptError, match="use: none; the job names no tenant, which those with"):
        roots.below("/srv/out/x/a", OWN, None, "output")
    assert roots.below("/srv/shared/a", MIXED, None, "output") == "/srv/shared/a"
    with pytest.raises(AttemptError, match="use: /srv/shared; the job names no tenant"):
        roots.below("/srv/out/x/a", MIXED, None, "output")


@pytest.mark.parametrize("name", ["", ".", "..", ".ann", "a/b", "../ann", "a\0", "a\n", "x" * 64])
def test_what_is_no_tenant_s_name_is_no_folder(name: str) -> None:
    with pytest.raises(AttemptError, match="the tenant's name"):
        roots.below("/srv/out/x/a", OWN, name, "output")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('output_roots = ["/srv/out-{tenant}"]', "{tenant} may stand for one whole folder"),
        ('output_roots = ["/srv/{tennant}"]', "{tenant} may stand for one whole folder"),
        (
            'output_roots = ["/srv/out", "/srv/out/{tenant}"]',
            "output_roots: /srv/out is for all tenants and holds /srv/out/{tenant}",
        ),
        (
            'input_roots = ["/srv"]\noutput_roots = ["/srv/out/{tenant}"]',
            "input_roots: /srv is for all tenants and holds /srv/out/{tenant} of output_roots",
        ),
    ],
)
def test_a_setting_that_keeps_nobody_apart_is_refused(
    tmp_path: Path, lines: str, words: str
) -> None:
    file = tmp_path / "worker.toml"
    file.write_text(lines)
    with pytest.raises(ConfigError) as refused:
        read_config(file, {}, {}, key_needed=False)
    assert words in str(refused.value)


def test_what_dead_attempts_left_is_found_in_each_tenant_s_folder(tmp_path: Path) -> None:
    output, jobs = tmp_path / "out", tmp_path / "state/jobs"
    jobs.mkdir(parents=True)
    names = [output / tenant / "done" for tenant in ("ann", "bob")]
    beside = output / "ann" / "else"
    left = []
    for folder in (*names, beside):
        folder.mkdir(parents=True)
        file = folder / ".film.mp4.ffmpeg-job-abcdefghijkl.1.part"
        file.touch()
        os.utime(file, (1, 1))
        left.append(file)
    config = replace(
        CONFIG, state_directory=tmp_path / "state", output_roots=(output / "{tenant}" / "done",)
    )
    assert clean.clean(config) == left[:2]
    assert left[2].exists()
