"""A worker that waits costs little: it loads nothing that it never needs."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.api.conftest import ROOT

START = """
import sys
sys.argv[1:] = ["--version"]
from ffmpeg_worker.__main__ import main
try:
    main()
except SystemExit:
    print(*(name for name in {names} if sys.modules.get(name)))
"""
NAMES = ("rich", "jsonschema", "click", "sqlalchemy", "falcon")


def test_nothing_is_loaded_that_is_never_needed() -> None:
    run = subprocess.run(
        [sys.executable, "-c", START.format(names=NAMES)],
        env=os.environ | {"PYTHONPATH": f"{ROOT}/jobs:{ROOT}/worker"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    version, loaded = run.stdout.split("\n", 1)
    assert version
    assert loaded.strip() == ""
