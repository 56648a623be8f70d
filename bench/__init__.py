"""Benchmarks: what we cost, as ratios against named peers measured in the same run."""
