"""A job's way on a stream: a live bar on a terminal, else a line per change."""

from __future__ import annotations

import os
from typing import Protocol, TextIO

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from ffmpeg_jobs.cli import words
from ffmpeg_jobs.model import FINAL_STATES, JobStatus


class View(Protocol):
    """Where the job's way is shown."""

    def show(self, job: JobStatus) -> None:
        """The job as it stands."""

    def silent(self) -> None:
        """The master does not answer."""

    def close(self) -> None:
        """Nothing more comes."""


class Lines:
    """One line per change: for files, pipes and the journal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = ""

    def show(self, job: JobStatus) -> None:
        """A line if the state, the attempt, the worker or a tenth of the way is new."""
        far = job.progress.percent if job.progress and job.progress.percent else 0.0
        change = f"{words.state(job)} {job.attempt} {job.worker} {far // 10}"
        if change == self._last:
            return
        self._last = change
        parts = [f"{job.id} {words.state(job)}"]
        if job.worker:
            parts.append(f"on {job.worker}")
        if job.attempt > 1:
            parts.append(f"attempt {job.attempt}")
        if job.progress and job.state not in FINAL_STATES:
            parts += [words.percent(job), words.pace(job.progress)]
        self._say(", ".join(part for part in parts if part))

    def silent(self) -> None:
        """One line, however long it lasts."""
        if self._last != "silent":
            self._last = "silent"
            self._say("the master does not answer, still trying")

    def close(self) -> None:
        """Nothing is open."""

    def _say(self, line: str) -> None:
        click.echo(words.printable(line), file=self._stream)


class Bar:
    """A live progress bar, for terminals."""

    def __init__(self, stream: TextIO) -> None:
        console = Console(
            file=stream, highlight=False, no_color=bool(os.environ.get("NO_COLOR")) or None
        )
        self._progress = Progress(
            SpinnerColumn(spinner_name="line"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            _Pace(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, pace="")
        self._progress.start()

    def show(self, job: JobStatus) -> None:
        """Move the bar; it swings while there is no percentage. An ending is told elsewhere."""
        if job.state in FINAL_STATES:
            return
        far = job.progress.percent if job.progress else None
        pace = words.pace(job.progress) if job.progress else ""
        self._progress.update(
            self._task,
            description=words.printable(words.state(job)),
            total=None if far is None else 100.0,
            completed=far or 0.0,
            pace=", ".join(part for part in (words.percent(job), pace) if part),
        )

    def silent(self) -> None:
        """The bar stays where it was."""
        self._progress.update(self._task, pace="the master does not answer, still trying")

    def close(self) -> None:
        """Give the terminal back."""
        self._progress.stop()


class _Pace(ProgressColumn):
    """Percent, frame, speed and what is left; the first to be cut on a narrow terminal."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["pace"], no_wrap=True, overflow="ellipsis")


def open_view(stream: TextIO) -> View:
    """The view that suits the stream."""
    if stream.isatty():
        return Bar(stream)
    return Lines(stream)
