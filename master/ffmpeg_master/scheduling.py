"""Which queued job a worker gets (pure).

Jobs are looked at in the order of ``urgency``. The first that finds room is handed out, so none
is blocked by the one before it. A big one that waited long has room kept free on one worker.
"""

from __future__ import annotations

import posixpath
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from ffmpeg_jobs.model import DEFAULT_DISK_MB, DEFAULT_MEMORY_MB, Job, Machine, Priority, Queue
from ffmpeg_master.model import UNASKED_CPU_PERCENT, Member, Needs, Use, Waiting

#: Encoders that need a device; the rest is software, which every machine has.
_HARDWARE_SUFFIXES: Final = ("_nvenc", "_qsv", "_vaapi", "_amf")

#: What the kernel must offer to hold a job to all of its limits.
_LIMITS: Final = frozenset({"cpu", "memory", "pids"})

_QUEUE_RANKS: Final = {Queue.LIVE: 0, Queue.DEFAULT: 1, Queue.BATCH: 2}
_PRIORITY_RANKS: Final = {Priority.HIGH: 0, Priority.MEDIUM: 1, Priority.LOW: 2}
#: Live jobs go first, but one handing out in so many goes by waiting alone: nothing starves.
OLDEST_FIRST_EVERY: Final = 16


@dataclass(frozen=True)
class Order:
    """What the order of handing out depends on beside the jobs."""

    now_seconds: float = 0.0  #: Unix time
    aging_seconds: float = 600.0  #: a wait that lifts a job by one rank
    held: Mapping[str, int] = field(default_factory=dict)  #: CPU percent that submitters hold now
    weights: Mapping[str, int] = field(default_factory=dict)  #: of submitters; 1 if not named
    oldest_first: bool = False


def rank(job: Job) -> int:
    """Queue, then priority; the smaller the sooner."""
    return _QUEUE_RANKS[job.queue] * len(_PRIORITY_RANKS) + _PRIORITY_RANKS[job.priority]


def needs(job: Job) -> Needs:
    """What ``job`` asks of a machine."""
    encoder, limits = job.parameters.encoder or "", job.resource_limits
    return Needs(
        encoder if encoder.endswith(_HARDWARE_SUFFIXES) else None,
        limits.max_cpu_percent,
        limits.max_memory_mb or 0,
        limits.max_disk_mb or 0,
        tuple(sorted(job.worker_labels.items())),
        job.require_enforcement,
        _folder(job.input),
        _folder(job.output),
    )


def _folder(place: str | None) -> str | None:
    """The folder of a file on the worker's machine; None for a URL, or nothing."""
    if place is None or not place.startswith("/"):
        return None
    return posixpath.dirname(posixpath.normpath(place))


def line(rank: int, submitter: str, asked: Needs) -> str:
    """Where a job waits: with those of its rank, submitter and kind of need.

    Who waits in another line is never in the way, however many they are. Sizes count by their
    power of two, and folders by their beginning, so that there are few lines.
    """
    asks = (asked.cpu_percent or 0, asked.memory_mb, asked.disk_mb)
    sizes = tuple(size.bit_length() for size in asks)
    areas = tuple(map(_area, (asked.input_folder, asked.output_folder)))
    what = (asked.encoder, asked.labels, asked.enforced, sizes, areas)
    kind = sha256(repr(what).encode()).hexdigest()[:8]
    return f"{rank}/{submitter}/{kind}"


def least_cpu_percent(head: Needs) -> int:
    """What each job of the line that ``head`` stands in counts as at least."""
    if head.cpu_percent is None:
        return UNASKED_CPU_PERCENT
    return 1 << (head.cpu_percent.bit_length() - 1)


def _area(folder: str | None) -> str:
    """The beginning of a folder, as far as volumes mostly differ: /mnt/a, /srv/media."""
    return "/".join((folder or "").split("/", 3)[:3])


def urgency(order: Order) -> Callable[[Waiting], Any]:
    """The key to sort by: queue, fair share, priority and wait; the smaller the sooner.

    Later in one line is never sooner, so that lines can be merged.
    """

    def key(job: Waiting) -> tuple[float, ...]:
        if order.oldest_first:
            return (job.since_seconds, job.number)
        lifted = job.rank - (order.now_seconds - job.since_seconds) / order.aging_seconds
        queue = 0 if job.live else max(1, int(max(lifted, 0) // len(_PRIORITY_RANKS)))
        share = order.held.get(job.submitter, 0) / order.weights.get(job.submitter, 1)
        return (queue, share, lifted, job.number)

    return key


def fits(asked: Needs, machine: Machine) -> bool:
    """Whether ``machine``, were it empty, could run a job with these needs."""
    return next(_lacks(asked, machine), None) is None


def _lacks(asked: Needs, machine: Machine) -> Iterator[str]:
    """What the job asks and ``machine`` has not, for people.

    A CPU limit is a ceiling, which a machine with fewer cores holds by itself. A job that
    requires enforcement would be refused, and so end, where the kernel cannot give it.
    """
    if asked.encoder is not None and asked.encoder not in machine.encoders:
        yield f"the encoder {asked.encoder}"
    for name, value in asked.labels:
        if machine.labels.get(name) != value:
            yield f"the label {name}={value}"
    for name, folder, roots in (
        ("input", asked.input_folder, machine.input_roots),
        ("output", asked.output_folder, machine.output_roots),
    ):
        if folder and roots is not None and not _is_below(folder, roots):
            yield f"{folder} among its {name}_roots"
    if asked.memory_mb > has(machine).memory_mb:
        yield f"{asked.memory_mb} MiB of memory"
    if asked.disk_mb > has(machine).disk_mb:
        yield f"{asked.disk_mb} MiB of disk"
    required = machine.require_enforcement if asked.enforced is None else asked.enforced
    if required and not _LIMITS.issubset(machine.enforced):
        yield "a kernel that enforces its limits"


def _is_below(folder: str, roots: Iterable[str]) -> bool:
    names = folder.split("/")
    return any(_begins(names, root.rstrip("/").split("/")) for root in roots)


def _begins(names: Sequence[str], root: Sequence[str]) -> bool:
    """Whether a path lies below a root; whose folder ``{tenant}`` is, its worker looks at."""
    same = all(part in (name, "{tenant}") for part, name in zip(root, names, strict=False))
    return len(names) >= len(root) and same


def waits_for(asked: Needs, fleet: Iterable[Member]) -> str:
    """What a queued job waits for, for people."""
    able = [worker for worker in fleet if _takes_jobs(worker)]
    if not able:
        return "a worker: none is online that takes jobs"
    missing = [tuple(_lacks(asked, worker.machine)) for worker in able]
    if () in missing:
        return f"room: {missing.count(())} of {len(able)} workers could run it"
    fewest = min(missing, key=len)
    return f"a worker with {' and '.join(fewest)}"


def has(machine: Machine) -> Use:
    """What all jobs together may have of ``machine``."""
    return Use(
        machine.jobs_cpu_percent or machine.cpus * 100,
        machine.jobs_memory_mb or machine.memory_mb,
        machine.jobs_disk_mb or machine.disk_free_mb,
    )


def reserves(asked: Needs, machine: Machine) -> Use:
    """What a job takes of ``machine``. What it did not ask is its place's part, at most the
    default; a CPU limit alone never asks more than there is."""
    whole, slots = has(machine), machine.max_concurrent_jobs
    cpu_percent = asked.cpu_percent or whole.cpu_percent // slots
    return Use(
        min(cpu_percent, whole.cpu_percent),
        asked.memory_mb or min(DEFAULT_MEMORY_MB, whole.memory_mb // slots),
        asked.disk_mb or min(DEFAULT_DISK_MB, whole.disk_mb // slots),
    )


def has_room(asked: Needs, worker: Member, *, others_give_way: bool = False) -> bool:
    """Whether ``worker`` has what the job asks, beside what it runs.

    What gives way stands still: it leaves its CPU, but keeps its memory and its disk.
    """
    machine = worker.machine
    taken = [reserves(one, machine) for one in (*worker.running, asked)]
    whole = has(machine)
    return (
        (others_give_way or sum(use.cpu_percent for use in taken) <= whole.cpu_percent)
        and sum(use.memory_mb for use in taken) <= whole.memory_mb
        and sum(use.disk_mb for use in taken) <= whole.disk_mb
    )


@dataclass(frozen=True)
class Choice:
    """The job that a worker gets."""

    job: Waiting | None = None
    for_others: bool = False  #: one was left, as long as the others are what they are


def choose(
    waiting: Iterable[Waiting],
    worker: Member,
    others: Callable[[], Sequence[Member]],
    order: Order,
) -> Choice:
    """The job that ``worker`` gets, of those ``waiting``, most urgent first.

    A job goes back to the worker that lost it only if no other that fits has a place. A full worker
    that has batch jobs make room gets live jobs only; so does one that keeps room for a big job.
    ``others`` is asked only if it matters who else there is.
    """
    full = _is_full(worker)
    if worker.draining or worker.held_back or (full and not worker.machine.preempts):
        return Choice()
    live_only, for_others = full, False
    for job in waiting:
        if (live_only and not job.live) or not fits(job.needs, worker.machine):
            continue
        if job.avoid_worker == worker.name and any(_has_place(job, one) for one in others()):
            for_others = True
            continue
        give_way = job.live and worker.machine.preempts
        if has_room(job.needs, worker, others_give_way=give_way):
            return Choice(job)
        waited_seconds = order.now_seconds - job.since_seconds
        if waited_seconds >= order.aging_seconds and _keeps_room(job, worker, others()):
            live_only = for_others = True
    return Choice(None, for_others)


def _is_full(worker: Member) -> bool:
    if worker.places is not None:  # who asks knows best
        return worker.places <= 0
    return len(worker.running) >= worker.machine.max_concurrent_jobs


def _could(job: Waiting, worker: Member) -> bool:
    serves = worker.serves in (None, job.tenant)
    return serves and _takes_jobs(worker) and fits(job.needs, worker.machine)


def _has_place(job: Waiting, worker: Member) -> bool:
    return _could(job, worker) and (not _is_full(worker) or (job.live and worker.machine.preempts))


def _takes_jobs(worker: Member) -> bool:
    return worker.online and not worker.draining and not worker.held_back


def _keeps_room(job: Waiting, worker: Member, others: Sequence[Member]) -> bool:
    """Whether ``worker`` is the one of all that fit to wait until the job has room there.

    Chosen by chance, and always the same, so that the others go on with what is smaller.
    """
    able = [worker.name, *(other.name for other in others if _could(job, other))]
    return worker.name == min(able, key=lambda name: zlib.crc32(f"{job.job_id}{name}".encode()))
