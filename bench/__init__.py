"""Benchmarks: what we cost, as ratios against named peers measured in the same run."""

import sys
from pathlib import Path

# This tree's programs are measured, whatever is installed.
sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in ("jobs", "worker", "master")]
