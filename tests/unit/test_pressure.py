"""Pressure stall information as kernels write it, and kernels that write none."""

from __future__ import annotations

from pathlib import Path

from ffmpeg_worker.pressure import read_pressure

TEXT = (
    "some avg10={} avg60=53.46 avg300=41.35 total=4340426951\n"
    "full avg10=99.00 avg60=0.00 avg300=0.00 total=0\n"
)
NONE = {"cpu": None, "memory": None, "io": None}


def write(directory: Path, ending: str, **figures: float) -> Path:
    directory.mkdir()
    for name, percent in figures.items():
        (directory / f"{name}{ending}").write_text(TEXT.format(percent))
    return directory


def test_the_jobs_come_first(tmp_path: Path) -> None:
    jobs = write(tmp_path / "user@998.service", ".pressure", cpu=28.31, memory=0.0, io=100.0)
    system = write(tmp_path / "system", "", cpu=1.0, memory=1.0, io=1.0)
    found = read_pressure(jobs, system)
    assert (found.source, found.percent) == (
        "user@998.service",
        {"cpu": 28.31, "memory": 0.0, "io": 100.0},
    )


def test_without_a_slice_the_system_counts(tmp_path: Path) -> None:
    system = write(tmp_path / "system", "", cpu=1.5, memory=0.25)
    found = read_pressure(tmp_path / "none", system)
    assert (found.source, found.percent) == ("system", {"cpu": 1.5, "memory": 0.25, "io": None})


def test_a_kernel_without_it(tmp_path: Path) -> None:
    found = read_pressure(tmp_path / "none", tmp_path / "nowhere")
    assert (found.source, found.percent) == (None, NONE)


def test_a_file_that_says_something_else(tmp_path: Path) -> None:
    directory = tmp_path / "system"
    directory.mkdir()
    (directory / "cpu").write_text("nonsense\n")
    assert read_pressure(tmp_path / "none", directory).percent == NONE
