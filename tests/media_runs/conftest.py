"""The real ffmpeg in the real sandbox, with the worker's own command lines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ffmpeg_jobs.destination import Policy
from ffmpeg_jobs.model import Job, Media, Parameters
from ffmpeg_worker import holder
from ffmpeg_worker.command import Places, ffmpeg_argv, needs_network, probe_argv, sink_format
from ffmpeg_worker.config import Config
from ffmpeg_worker.facts import Facts
from ffmpeg_worker.plan import Plan
from ffmpeg_worker.prepare import Opened
from ffmpeg_worker.publish import parse_probe
from ffmpeg_worker.sandbox import JOB, Bind, sandboxed
from ffmpeg_worker.stream import sink_of
from ffmpeg_worker.syscalls import filter_descriptor, program

CLIP = Path(__file__).parents[1] / "media" / "bigbuckbunny.mp4"
#: As long as it takes on a loaded machine; nothing here waits for it.
PATIENCE_SECONDS = 300


@pytest.fixture(autouse=True, scope="session")
def _programs() -> None:
    """At home the tests are skipped where a program is missing; in CI that is a failure."""
    for name in ("ffmpeg", "ffprobe", "bwrap"):
        if shutil.which(name) is None:
            words = f"{name} is not installed"
            pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    output = tmp_path / "output"
    output.mkdir()
    return Config(
        master="http://127.0.0.1:1",
        api_key="k",
        ca=None,
        client_cert=None,
        client_key=None,
        insecure_skip_verify=False,
        name="w",
        cpus=2,
        max_concurrent_jobs=1,
        state_directory=tmp_path / "state",
        input_roots=(CLIP.parent,),
        output_roots=(output,),
        require_enforcement=False,
        log_level="info",
        max_cpu_percent=800,
        max_memory_mb=2048,
        max_timeout_seconds=3600,
        metrics_address="127.0.0.1:0",
        network=Policy(("127.0.0.0/8",)),
    )


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a volume of that many pages of 4 KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    directory = tmp_path / "volume"
    directory.mkdir()

    def mount(pages: int) -> Path:
        argv = ["mount", "-t", "tmpfs", "-o", f"size={pages * 4}k", "none", str(directory)]
        if subprocess.run(argv, check=False).returncode != 0:
            pytest.skip("mounting is not allowed here")
        return directory

    yield mount
    subprocess.run(["umount", str(directory)], check=False)


@pytest.fixture
def volume(small: Callable[[int], Path]) -> Path:
    """A volume of 100 MiB."""
    return small(100 << 8)


def in_sandbox(
    argv: Sequence[str], binds: Sequence[Bind], as_user: Sequence[str] = (), **how: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program as a job is run; what it writes is read as UTF-8 as far as it is."""
    with filter_descriptor() as filtering:
        command = sandboxed(argv, binds, **how, filter_descriptor=filtering)
        return subprocess.run(
            [*as_user, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE_SECONDS,
            check=False,
            pass_fds=[filtering],
        )


def fill(volume: Path, size_mb: int) -> None:
    with (volume / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size_mb << 20)


@dataclass(frozen=True)
class Ended:
    """How a run ended and what it left."""

    status: int
    log: str
    output: Path
    progress: str

    def facts(self) -> Facts:
        """As the holder and the watch would gather them."""
        return Facts(self.status, "success", stderr_tail=tuple(self.log.splitlines()))

    def media(self) -> Media:
        """What ffprobe, in its own sandbox, says of the output."""
        binds = [Bind(str(self.output), "/output")]
        found = in_sandbox(probe_argv("/output"), binds, network=False)
        return parse_probe(found.stdout)


def encode(
    directory: Path,
    source: Path | str | None = CLIP,
    output: str | None = None,
    threads: int = 2,
    as_user: Sequence[str] = (),
    **parameters: Any,
) -> Ended:
    """Run one job's ffmpeg as the worker would; ``source``: file, RTMP URL, or None: synthetic."""
    work, staged = directory / "work", directory / "staged"
    work.mkdir()
    work.chmod(0o777)
    staged.touch()
    staged.chmod(0o666)
    streamed = isinstance(source, str)
    job = Job(
        input=None if source is None else str(source),
        output=output,
        parameters=Parameters(**parameters),
    )
    live = output is not None and output.startswith("rtmp")
    places = Places(
        source="/input" if isinstance(source, Path) else source,
        sink=sink_of(str(output)).url if live else "/output",
        sink_format=sink_format(job),
        progress=f"{JOB}/progress",
        preset=f"{JOB}/stream",
    )
    if live:
        (work / "stream").write_text(sink_of(str(output)).preset)
    binds = [Bind(str(work), JOB, writable=True), Bind(str(staged), "/output", writable=True)]
    if isinstance(source, Path):
        binds.append(Bind(str(source), "/input"))
    assert needs_network(job) is (streamed or live)
    argv = ffmpeg_argv(job, places, threads)
    done = in_sandbox(argv, binds, as_user, network=needs_network(job))
    progress = work / "progress"
    return Ended(
        done.returncode,
        done.stdout + done.stderr,
        staged,
        progress.read_text() if progress.exists() else "",
    )


def as_held(plan: Plan, opened: Opened) -> dict[str, Any]:
    """What starts a holder with what was opened for it, as ``subprocess`` takes it."""
    named = {holder.SOURCE: opened.source, holder.SINK: opened.sink}
    passed = {number: fd for number, fd in named.items() if fd is not None}
    Path(plan.directory, holder.FILTER).write_bytes(program())

    def place() -> None:
        for number, fd in passed.items():
            os.dup2(fd, number)

    command = [sys.executable, "-I", "-S", str(holder.__file__), plan.directory]
    return {"args": [*command, *map(str, passed)], "preexec_fn": place, "close_fds": False}


def make(target: Path, *words: str) -> Path:
    """Make a source with ffmpeg itself."""
    argv = ["ffmpeg", "-v", "error", "-nostdin", "-y", *words, str(target)]
    subprocess.run(argv, check=True, timeout=PATIENCE_SECONDS)
    return target
