"""Step 1: a claim becomes a plan. Everything is decided here, nothing is done yet. Pure.

Paths: the job's own directory DIRECTORY is never visible inside the sandbox; of it only
``work`` is bound there, as /job. The output is staged in a folder of ours beside its place, under a
name that tells whose it is. Input and output are bound into the sandbox as one file each, by the
descriptors that they were checked by (``walk.py``), which the holder has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ffmpeg_jobs.destination import Policy
from ffmpeg_jobs.model import (
    DEFAULT_DISK_MB,
    DEFAULT_MEMORY_MB,
    DEFAULT_TIMEOUT_SECONDS,
    Claim,
    Limits,
    Reason,
)
from ffmpeg_jobs.redaction import secrets
from ffmpeg_worker.command import (
    Places,
    ffmpeg_argv,
    gpu_devices,
    is_rtmp,
    needs_network,
    probe_argv,
    sink_format,
)
from ffmpeg_worker.config import Config
from ffmpeg_worker.holder import SINK, SOURCE
from ffmpeg_worker.limits import HeldLimits, unit_name
from ffmpeg_worker.outcome import AttemptError
from ffmpeg_worker.rights import STAGING_FOLDER, Rights
from ffmpeg_worker.roots import below, of_tenant
from ffmpeg_worker.sandbox import JOB, Bind, sandboxed
from ffmpeg_worker.stream import PRESET, pinned_files, sink_of

INPUT: Final = "/input"
OUTPUT: Final = "/output"
#: An output while it is written; ``attempt`` is the name of the attempt's directory. Before there
#: was a folder for them, they lay beside their places under longer names.
STAGED_NAME: Final = re.compile(
    r"\.(.+\.)?ffmpeg-job-(?P<attempt>[a-z2-7]{12}\.[1-9][0-9]{0,3})\.part\Z", re.DOTALL
)


@dataclass(frozen=True)
class Plan:
    """One attempt, decided. Written down before anything of it exists."""

    claim: Claim
    unit: str  #: ffmpeg-job-<id>.scope
    directory: str  #: the attempt's own directory
    run: tuple[str, ...]  #: bwrap and ffmpeg
    held: HeldLimits
    require_enforcement: bool
    max_disk_mb: int
    probe: tuple[str, ...] | None = None  #: bwrap and ffprobe on the staged output; None: a stream
    fetch_from: str | None = None  #: URL that is fetched to ``source``
    source: str | None = None  #: input file on this machine
    staged: str | None = None  #: output file on this machine while it is written
    publish_to: str | None = None  #: path that ``staged`` is renamed to
    upload_to: str | None = None  #: URL that ``staged`` is put to
    takes: bool = False  #: an earlier attempt made it; ``run`` only reads it
    input_roots: tuple[str, ...] = ("/",)  #: folders that ``source`` may lead into
    output_roots: tuple[str, ...] = ("/",)  #: folders that ``publish_to`` may lead into
    rights: Rights = field(default_factory=Rights)  #: of what is published
    network: Policy = field(default_factory=Policy)  #: where it may connect to

    @property
    def has_network(self) -> bool:
        """Whether it has the machine's network, and not one of its own without any address."""
        return needs_network(self.claim.job)

    @property
    def streams(self) -> bool:
        """Whether what it makes is published while it runs."""
        return self.staged is None


def make_plan(claim: Claim, config: Config, disk_part_mb: int = DEFAULT_DISK_MB) -> Plan:
    """Decide everything about one attempt. Raises AttemptError for what this machine refuses.

    ``disk_part_mb``: its place's part of the disk, for a job that asks for none; as its master
    counts it too.
    """
    job = claim.job
    directory = config.jobs_directory / f"{claim.job_id}.{claim.attempt}"
    source, fetch_from = _source(claim, directory, config.input_roots)
    staged, publish_to, upload_to = _sink(claim, directory, config.output_roots)
    held = _held(job.resource_limits, config)
    muxer = sink_format(job)
    inside = Places(
        source=INPUT if source else job.input,
        sink=OUTPUT if staged else sink_of(str(job.output)).url,
        sink_format=muxer,
        progress=f"{JOB}/progress",
        preset=PRESET,
        vaapi_device=next((d for d in gpu_devices(job) if "/dri/" in d), None),
    )
    binds = [Bind(str(directory / "work"), JOB, writable=True)]
    if source:
        binds.append(Bind(SOURCE, INPUT))
    if staged:
        binds.append(Bind(SINK, OUTPUT, writable=True))
    binds += [Bind(str(directory / name), place) for name, place in pinned_files(job).items()]
    threads = max(1, -(-held.cpu_percent // 100))
    required = job.require_enforcement
    return Plan(
        claim=claim,
        unit=unit_name(claim.job_id),
        directory=str(directory),
        run=sandboxed(
            ffmpeg_argv(job, inside, threads),
            binds,
            network=needs_network(job),
            devices=gpu_devices(job),
        ),
        probe=sandboxed(probe_argv(OUTPUT), [Bind(SINK, OUTPUT)], network=False)
        if staged
        else None,
        held=held,
        require_enforcement=config.require_enforcement if required is None else required,
        max_disk_mb=job.resource_limits.max_disk_mb or min(DEFAULT_DISK_MB, disk_part_mb),
        fetch_from=fetch_from,
        source=source,
        staged=staged,
        publish_to=publish_to,
        upload_to=upload_to,
        input_roots=(str(directory),) if fetch_from else _own(config.input_roots, claim),
        output_roots=_own(config.output_roots, claim),
        rights=config.rights,
        network=config.network,
    )


def opening(plan: Plan) -> bytes:
    """What opens the holder's gate: its command, as ``holder.command`` reads it."""
    # ffmpeg quotes the URLs that it was given: what it says goes to the log and to the journal.
    job = plan.claim.job
    hidden = secrets(place for place in (job.input, job.output) if is_rtmp(place))
    counts = f"{len(plan.run)} {len(hidden)}"
    words = [counts, *plan.run, *hidden, *(plan.probe or ()), "go", ""]
    return b"\0".join(word.encode("utf-8", "surrogateescape") for word in words)


def _held(asked: Limits, config: Config) -> HeldLimits:
    """What was asked, refused where it is over this machine's caps; what was not asked, within
    them."""
    default_seconds = min(DEFAULT_TIMEOUT_SECONDS, config.max_timeout_seconds)
    held = HeldLimits(
        cpu_percent=asked.max_cpu_percent or min(config.cpus * 100, config.max_cpu_percent),
        memory_mb=asked.max_memory_mb or min(DEFAULT_MEMORY_MB, config.max_memory_mb),
        timeout_seconds=asked.timeout_sec or default_seconds,
    )
    within_caps(held, config)
    return held


def within_caps(held: HeldLimits, config: Config) -> None:
    """Raises AttemptError for limits over what this machine gives one job."""
    for name, value, cap in (
        ("max_cpu_percent", held.cpu_percent, config.max_cpu_percent),
        ("max_memory_mb", held.memory_mb, config.max_memory_mb),
        ("timeout_sec", held.timeout_seconds, config.max_timeout_seconds),
    ):
        if value > cap:
            raise AttemptError(
                Reason.INTERNAL_ERROR,
                f"resource_limits.{name}: {value} is over the cap of {cap} on {config.name}",
            )


def _source(claim: Claim, directory: Path, roots: Sequence[Path]) -> tuple[str | None, str | None]:
    """Input file on this machine, and the URL it is fetched from; neither for a stream."""
    source = claim.job.input
    if source is None or _scheme(source) in ("rtmp", "rtmps"):
        return None, None
    if _scheme(source) in ("http", "https"):
        return str(directory / "input"), source
    return below(source, roots, claim.tenant, "input"), None


def _sink(
    claim: Claim, directory: Path, roots: Sequence[Path]
) -> tuple[str | None, str | None, str | None]:
    """Staged file, final path, upload URL. A job without an output is staged and discarded."""
    output = claim.job.output
    if output is None:
        return str(directory / "output"), None, None
    if _scheme(output) in ("rtmp", "rtmps"):
        return None, None, None
    if _scheme(output) in ("http", "https"):
        return str(directory / "output"), None, output
    final = Path(below(output, roots, claim.tenant, "output"))
    staged = final.parent / STAGING_FOLDER / f".ffmpeg-job-{claim.job_id}.{claim.attempt}.part"
    return str(staged), str(final), None


def _own(roots: Sequence[Path], claim: Claim) -> tuple[str, ...]:
    return tuple(map(str, of_tenant(roots, claim.tenant)))


def _scheme(place: str) -> str:
    return "" if place.startswith("/") else urlsplit(place).scheme.lower()
