"""docs/problems.md tells of every type of problem, in the master's own words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ffmpeg_jobs.contract import BATCH_MAX_JOBS, BODY_MAX_BYTES, NESTING_MAX
from ffmpeg_jobs.problems import BY_KIND

PAGE = Path(__file__).parents[2] / "docs/problems.md"
TEXT = PAGE.read_text(encoding="utf-8")


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return " ".join(found[1].split())


def test_every_type_and_no_other_has_its_part() -> None:
    titles = re.findall(r"^## (\S+)$", TEXT, re.MULTILINE)
    assert sorted(titles) == sorted([*BY_KIND, "Limits"])


@pytest.mark.parametrize("kind", BY_KIND)
def test_a_part_says_what_the_master_says(kind: str) -> None:
    problem = BY_KIND[kind]
    assert section(kind).startswith(f'{problem.status}, "{problem.title}".')
    assert section(kind).endswith(f"What to do: {problem.remedy}")


def test_the_limits_are_those_of_the_code() -> None:
    rows = dict(re.findall(r"\| ([^|]+) \| ([^|]+) \|", section("Limits")))
    assert rows["body of a request"].startswith(f"{BODY_MAX_BYTES >> 20} MiB;")
    assert rows["nesting of a body"] == str(NESTING_MAX)
    assert rows["jobs of a batch"] == str(BATCH_MAX_JOBS)
