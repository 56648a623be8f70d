"""What a build that was killed leaves behind is removed, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab import cache


def test_what_is_mounted_in_a_leftover_stays(tmp_path: Path) -> None:
    kept, leftover = tmp_path / "kept", tmp_path / "new-base"
    inside = leftover / "dev/shm"
    for folder in (kept, inside):
        folder.mkdir(parents=True)
    (kept / "segment").touch()
    subprocess.run(["mount", "--bind", str(kept), str(inside)], check=True)
    cache.remove(leftover)
    assert (kept / "segment").exists()
    assert not leftover.exists()
