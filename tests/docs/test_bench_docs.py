"""bench/README.md names every benchmark, with its arguments and aims, and as it is run."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "bench/README.md").read_text(encoding="utf-8")
ROWS = {
    name: line
    for line in PAGE.splitlines()
    for name in re.findall(r"^\| `[^`]* -m bench\.(\w+)`", line)
}
BENCHMARKS = sorted(
    path.stem
    for path in (ROOT / "bench").glob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)


def test_every_benchmark_and_no_other_has_its_row() -> None:
    assert sorted(ROWS) == BENCHMARKS


@pytest.mark.parametrize("name", BENCHMARKS)
def test_it_begins_as_it_is_written_and_takes_the_arguments_that_are_told(name: str) -> None:
    command = shlex.split(ROWS[name].split("`")[1])
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [*command, "--help"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    taken = set(re.findall(r"^  (--\w+)", done.stdout, re.MULTILINE))
    assert set(re.findall(r"`(--\w+)`", ROWS[name])) == taken


@pytest.mark.parametrize("name", BENCHMARKS)
def test_its_row_has_the_aims_that_it_prints(name: str) -> None:
    aims = getattr(importlib.import_module(f"bench.{name}"), "AIMS", ())
    parts = {part for aim in aims for part in re.split("[,;] ", aim)}
    assert {part for part in parts if part not in ROWS[name]} == set()
