"""The repository speaks of the project alone, and says it once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.style.tree import ROOT, tracked

#: Paths of one person's machine, and numbers that mean something only in a tracker.
PRIVATE = re.compile(r"(^|[\s\"'(])/work/\w|(^|[\s(])#[1-9]\d*\b|\b[Ii]ssue \d")
TEXTS = [path for path in tracked() if path.suffix not in (".mp4", ".txt", ".lock")]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_refers_to_where_it_was_made(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [f"{number}: {line}" for number, line in enumerate(lines, 1) if PRIVATE.search(line)]
    assert found == []


def test_long_files_are_few() -> None:
    """The aim is 300 lines; 400 is the wall (test_shape)."""
    lengths = {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n")
        for path in tracked()
        if path.suffix == ".py"
    }
    long = {name: lines for name, lines in lengths.items() if lines > 300}
    assert len(long) <= len(lengths) * 0.03, long
