"""Which batch jobs stand still for live ones. Pure.

Computed anew from what runs, so that it is the same for a worker that started anew: a job is
taken beyond the places only if it is live, and for each of those one batch job gives way.
"""

from __future__ import annotations

from collections.abc import Mapping

from ffmpeg_jobs.model import Queue


def gives_way(running: Mapping[str, Queue], slots: int) -> frozenset[str]:
    """Of the jobs that run, oldest first: those that have to stand still, the newest first."""
    live = sum(queue is Queue.LIVE for queue in running.values())
    beyond = max(0, min(len(running) - slots, live))
    batch = [name for name, queue in running.items() if queue is Queue.BATCH]
    return frozenset(batch[len(batch) - beyond :] if beyond <= len(batch) else batch)


def takes_live(running: Mapping[str, Queue], slots: int) -> bool:
    """Whether one more live job finds a batch job that would give way to it."""
    more = {**running, "one more": Queue.LIVE}
    return len(gives_way(more, slots)) > len(gives_way(running, slots))
