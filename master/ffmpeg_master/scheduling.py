"""Which queued job a worker gets (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ffmpeg_jobs.model import Job, Machine, Priority, Queue
from ffmpeg_master.model import Member, Needs, Waiting

#: Encoders that need a device; the rest is software, which every machine has.
_HARDWARE_SUFFIXES: Final = ("_nvenc", "_qsv", "_vaapi", "_amf")

_QUEUE_RANKS: Final = {Queue.LIVE: 0, Queue.DEFAULT: 1, Queue.BATCH: 2}
_PRIORITY_RANKS: Final = {Priority.HIGH: 0, Priority.MEDIUM: 1, Priority.LOW: 2}


def rank(job: Job) -> int:
    """The order of handing out: queue, then priority; the smaller the sooner, then by age."""
    return _QUEUE_RANKS[job.queue] * len(_PRIORITY_RANKS) + _PRIORITY_RANKS[job.priority]


def needs(job: Job) -> Needs:
    """What ``job`` asks of a machine."""
    encoder = job.parameters.encoder or ""
    return Needs(
        encoder if encoder.endswith(_HARDWARE_SUFFIXES) else None,
        job.resource_limits.max_cpu_percent,
        job.resource_limits.max_memory_mb or 0,
    )


def fits(asked: Needs, machine: Machine) -> bool:
    """Whether ``machine``, were it empty, could run a job with these needs.

    A CPU limit is a ceiling, which a machine with fewer cores holds by itself.
    """
    return (
        asked.encoder is None or asked.encoder in machine.encoders
    ) and asked.memory_mb <= machine.memory_mb


def room(worker: Member) -> int:
    """How many more jobs ``worker`` may hold."""
    return 0 if worker.draining else max(worker.machine.max_concurrent_jobs - worker.running, 0)


def choose(waiting: Iterable[Waiting], worker: Member, others: Sequence[Member]) -> str | None:
    """The id of the job that ``worker`` gets, of those ``waiting``, most urgent first.

    A job goes back to the worker that lost it only if no other online worker fits. A full worker
    that has batch jobs make room gets live jobs only.
    """
    full = not room(worker)
    if worker.draining or (full and not worker.machine.preempts):
        return None
    suiting = (job for job in waiting if (job.live or not full) and _suits(job, worker, others))
    return next((job.job_id for job in suiting), None)


def most(worker: Member) -> int:
    """How many jobs ``worker`` may hold with the one that was just chosen for it."""
    return max(worker.machine.max_concurrent_jobs, worker.running + 1)


def _suits(job: Waiting, worker: Member, others: Sequence[Member]) -> bool:
    if not fits(job.needs, worker.machine):
        return False
    return job.avoid_worker != worker.name or not any(
        other.online and not other.draining and fits(job.needs, other.machine) for other in others
    )
